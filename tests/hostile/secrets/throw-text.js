// expect: thrown
// Throws it as a text.
throw '%SECRET:TOKEN%';
