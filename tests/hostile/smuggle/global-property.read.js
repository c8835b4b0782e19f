// expect: false
// Looks for that mark.
return 'leftBehind2' in globalThis;
