// expect: timeout
// The same from the end.
return Array.prototype.lastIndexOf.call({ length: 2 ** 53 - 1 }, 1) >= 0;
