// expect: memory or instructions or timeout
// Prints without end; what is beyond the bound is dropped.
var line = 'x'.repeat(10000);
for (;;) console.log(line);
