// expect: syntax or timeout or instructions or thrown or crash or type or memory or wrong-result
// Writes a very deep list.
var a = [];
for (var i = 0; i < 200000; i++) a = [a];
return JSON.stringify(a) === '';
