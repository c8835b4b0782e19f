// expect: false
// Prints it in hexadecimal.
console.log('%SECRET:TOKEN%'.split('').map(function (c) { return c.charCodeAt(0).toString(16); }).join(''));
return false;
