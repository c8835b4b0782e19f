// expect: memory or instructions or timeout
// One list that only grows.
var a = [];
for (;;) a.push(a.length);
