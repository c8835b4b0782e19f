// expect: memory or instructions or timeout
// Keeps ever more buffers of the largest allowed size.
var kept = [];
for (;;) kept.push(new Uint8Array(1024 * 1024).fill(1));
