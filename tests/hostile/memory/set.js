// expect: memory or instructions or timeout
// A set that only grows.
var s = new Set();
for (var i = 0; ; i++) s.add('entry ' + i);
