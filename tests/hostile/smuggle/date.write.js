// expect: false
// Leaves a mark: a patched clock.
Date.now = function () { return 0; };
Date.prototype.getHours = function () { return 3; };
return false;
