// expect: false
// Looks for that mark.
return Math.max(1, 2) > 2;
