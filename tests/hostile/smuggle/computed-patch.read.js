// expect: false
// Looks for that mark.
return [1].includes(2);
