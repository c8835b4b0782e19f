// expect: false
// Prints it.
console.log('%SECRET:TOKEN%');
return false;
