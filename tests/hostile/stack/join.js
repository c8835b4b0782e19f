// expect: syntax or timeout or instructions or thrown or crash or memory
// Turns a very deep list into a text.
var a = [];
for (var i = 0; i < 200000; i++) a = [a];
return String(a) === 'x';
