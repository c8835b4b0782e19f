// expect: memory or instructions or timeout
// Each closure keeps the one before.
var f = function () { return 0; };
for (;;) f = (function (g, big) { return function () { return g() + big.length; }; })(f, new Array(1000).fill(1));
