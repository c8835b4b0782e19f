// expect: false
// Leaves a mark: another criteria script in its place.
globalThis.staff = function () { return true; };
staff = function () { return true; };
return false;
