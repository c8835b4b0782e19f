// expect: false
// Leaves a mark: a property of the global object.
globalThis.leftBehind2 = 'mark';
return false;
