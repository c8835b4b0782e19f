// expect: wrong-result
// A text that says true.
return 'true';
