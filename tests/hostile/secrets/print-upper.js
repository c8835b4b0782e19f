// expect: false
// Prints it in capitals.
console.log('%SECRET:TOKEN%'.toUpperCase());
return false;
