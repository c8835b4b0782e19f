// expect: memory or instructions or timeout
// A list spread into a list of twice the size.
var a = [1, 2, 3];
for (;;) a = [...a, ...a];
