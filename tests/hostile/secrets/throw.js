// expect: thrown
// Throws it.
throw new Error('%SECRET:TOKEN%');
