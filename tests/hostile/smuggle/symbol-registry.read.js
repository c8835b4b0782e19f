// expect: false
// Looks for that mark.
return Symbol.leftBehind !== undefined;
