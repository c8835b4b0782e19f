// expect: timeout
// One call that turns around 2^40 missing elements.
Array.prototype.reverse.call({ length: 2 ** 40 });
return true;
