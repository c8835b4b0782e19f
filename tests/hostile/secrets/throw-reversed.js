// expect: thrown
// Throws it backwards.
throw new RangeError('%SECRET:TOKEN%'.split('').reverse().join(''));
