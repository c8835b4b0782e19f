// expect: false
// Prints it backwards.
console.log('%SECRET:TOKEN%'.split('').reverse().join(''));
return false;
