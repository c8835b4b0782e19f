// expect: type
// Code from a text through a proxy.
return new Proxy(Function, {})('return true')();
