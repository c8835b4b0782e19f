// expect: thrown or type
// Puts it into a message of the engine, as a method.
var o = {};
return o['%SECRET:TOKEN%']();
