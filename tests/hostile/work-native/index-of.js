// expect: timeout
// One call that looks through 2^53 elements that are not there.
return Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1) >= 0;
