// expect: false
// Leaves a mark: a patched method of texts.
String.prototype.startsWith = function () { return true; };
return false;
