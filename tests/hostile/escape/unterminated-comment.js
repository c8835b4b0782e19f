// expect: syntax
// Swallows the end of the wrapper.
return true; /*
