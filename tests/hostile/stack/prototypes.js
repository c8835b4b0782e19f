// expect: syntax or timeout or instructions or thrown or crash or memory or false
// Looks a name up along two hundred thousand prototypes.
var o = {};
for (var i = 0; i < 200000; i++) o = Object.create(o);
return o.missing === 1;
