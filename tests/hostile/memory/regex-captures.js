// expect: memory or instructions or timeout
// Keeps every match, each with many groups.
var expression = new RegExp('(a?)'.repeat(2000)), kept = [];
for (;;) kept.push(expression.exec('aaaa'));
