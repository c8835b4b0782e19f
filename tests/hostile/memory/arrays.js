// expect: memory or instructions or timeout
// Keeps ever more lists.
var a = [];
while (true) a.push(new Array(1000).fill('x'));
