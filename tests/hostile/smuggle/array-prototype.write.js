// expect: false
// Leaves a mark: a patched method of lists.
Array.prototype.indexOf = function () { return 0; };
Array.prototype.some = function () { return true; };
return false;
