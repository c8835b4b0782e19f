// expect: type
// Code from a text by the constructor of generators.
var F = (function* () { }).constructor;
return F('yield true')().next().value;
