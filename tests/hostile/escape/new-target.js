// expect: false or syntax
// Asks how the wrapper was called.
return new.target !== undefined;
