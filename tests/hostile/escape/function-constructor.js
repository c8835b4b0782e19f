// expect: type
// Code from a text by `Function`.
return new Function('return true')();
