// expect: memory or instructions or timeout
// Keeps ever more errors, each with its cause.
var e = null;
for (;;) e = new Error('x'.repeat(1000), { cause: e });
