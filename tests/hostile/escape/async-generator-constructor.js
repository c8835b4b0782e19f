// expect: type
// Code from a text by the constructor of async generators.
var F = (async function* () { }).constructor;
F('yield 1')();
return true;
