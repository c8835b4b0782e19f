// expect: memory or instructions or timeout
// A map that only grows.
var m = new Map();
for (var i = 0; ; i++) m.set(i, [i]);
