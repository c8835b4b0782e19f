// expect: false
// Prints it percent-encoded.
console.log('%SECRET:TOKEN%'.split('').map(function (c) { return '%' + c.charCodeAt(0).toString(16); }).join(''));
return false;
