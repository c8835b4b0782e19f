// expect: timeout
// One call that shifts 2^50 missing elements.
Array.prototype.unshift.call({ length: 2 ** 50 }, 1);
return true;
