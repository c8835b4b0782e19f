// expect: false
// Looks for that mark.
return typeof leftBehind3 !== 'undefined' || typeof leftBehind4 !== 'undefined';
