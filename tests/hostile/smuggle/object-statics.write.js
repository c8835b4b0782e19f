// expect: false
// Leaves a mark: a patched function of `Object`.
Object.keys = function () { return ['mark']; };
return false;
