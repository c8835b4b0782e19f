// expect: syntax or timeout or instructions or thrown or crash
// A chain of getters, each reading the next.
var o = { get v() { return 1; } };
for (var i = 0; i < 50000; i++) o = (function (next) { return { get v() { return next.v; } }; })(o);
return o.v === 2;
