// expect: timeout
// One call that moves 2^40 missing elements.
Array.prototype.copyWithin.call({ length: 2 ** 41 }, 0, 1);
return true;
