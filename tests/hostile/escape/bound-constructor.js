// expect: type
// Code from a text by a bound `Function`.
return Function.bind(null, 'return true')()();
