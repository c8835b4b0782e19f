// expect: false
// Leaves a mark: a patched function of `Math`.
Math.max = function () { return 1e9; };
return false;
