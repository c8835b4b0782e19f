// expect: false
// Prints it in base64 with something before it, so that the letters shift.
console.log(btoa('x%SECRET:TOKEN%y'));
console.log(btoa('xy%SECRET:TOKEN%'));
return false;
