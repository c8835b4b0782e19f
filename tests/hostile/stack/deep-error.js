// expect: syntax or timeout or instructions or thrown or crash or memory
// Throws an error with a very long chain of causes.
var e = null;
for (var i = 0; i < 50000; i++) e = new Error('x', { cause: e });
throw e;
