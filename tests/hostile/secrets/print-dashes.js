// expect: false
// Prints it with dashes between.
console.log('%SECRET:TOKEN%'.split('').join('-'));
return false;
