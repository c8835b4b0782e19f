// expect: memory or instructions or timeout
// Keeps ever more promises.
var kept = [];
for (;;) kept.push(Promise.resolve(new Array(100).fill(1)).then(function () { return kept; }));
