// expect: memory or instructions or timeout
// Keeps alive what a weak map holds.
var m = new WeakMap(), last = {};
for (;;) { var key = {}; m.set(key, last); last = key; }
