// expect: memory or thrown or timeout
// A number shifted until it fills memory.
var n = 1n, kept = [];
for (;;) { n <<= 8000000n; kept.push(n); }
