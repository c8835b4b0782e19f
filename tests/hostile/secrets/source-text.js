// expect: false
// Prints its own source, which holds the value.
console.log((function () { return '%SECRET:TOKEN%'; }).toString());
return false;
