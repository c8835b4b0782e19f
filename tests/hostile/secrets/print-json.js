// expect: false
// Prints it inside JSON.
console.log(JSON.stringify({ token: '%SECRET:TOKEN%', list: '%SECRET:TOKEN%'.split('') }));
return false;
