// expect: false
// Looks for that mark.
return typeof leftBehind !== 'undefined';
