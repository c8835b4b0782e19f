// expect: memory or instructions or timeout
// Reads a long list over and over and keeps it.
var text = '[' + '[[]],'.repeat(20000) + '0]', kept = [];
for (;;) kept.push(JSON.parse(text));
