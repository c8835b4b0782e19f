// expect: false
// Patches a helper and asks it.
String.prototype.containsText = function () { return true; };
return false;
