// expect: thrown
// Throws true.
throw true;
