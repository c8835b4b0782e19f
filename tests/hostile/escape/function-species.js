// expect: type
// A class that extends `Function`.
class F extends Function { }
return new F('return true')();
