// expect: memory or instructions or timeout
// Walks a list that grows as it goes.
var a = [1];
for (const one of a) a.push(one, one);
