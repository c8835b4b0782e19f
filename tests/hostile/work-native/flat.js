// expect: timeout or memory or instructions
// Flattens a list that doubles at each level.
var a = [1];
for (var i = 0; i < 30; i++) a = [a, a];
return a.flat(Infinity).length > 0;
