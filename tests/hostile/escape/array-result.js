// expect: wrong-result
// A list of a true.
return [true];
