// expect: memory or instructions or timeout
// A list appended to itself.
var a = [1, 2, 3];
for (;;) a = a.concat(a);
