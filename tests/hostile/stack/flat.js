// expect: syntax or timeout or instructions or thrown or crash or memory or false
// Flattens a very deep list.
var a = [];
for (var i = 0; i < 200000; i++) a = [a];
return a.flat(Infinity).length > 5;
