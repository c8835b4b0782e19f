// expect: false
// Prints it in base64.
console.log(btoa('%SECRET:TOKEN%'));
return false;
