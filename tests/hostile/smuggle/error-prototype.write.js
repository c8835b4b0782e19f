// expect: false
// Leaves a mark: a patched error.
TypeError.prototype.name = 'mark';
Error.stackTraceLimit = 7;
return false;
