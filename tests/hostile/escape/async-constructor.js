// expect: type
// Code from a text by the constructor of async functions.
var F = (async function () { }).constructor;
F('return 1')();
return true;
