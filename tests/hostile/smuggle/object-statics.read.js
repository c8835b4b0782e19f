// expect: false
// Looks for that mark.
return Object.keys({}).length > 0;
