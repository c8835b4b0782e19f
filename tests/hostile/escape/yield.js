// expect: thrown or syntax
// Yields in the wrapper.
yield 1;
return true;
