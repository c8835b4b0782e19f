// expect: wrong-result
// A boxed true.
return new Boolean(true);
