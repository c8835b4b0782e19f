// expect: false
// What `this` is in a sloppy function: the global object, and nothing of the host in it.
var g = (function () { return this; })();
return g !== globalThis || typeof g.constructor !== 'function' || g.constructor !== Object;
