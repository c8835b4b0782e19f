// expect: syntax
// Uses `super` in the wrapper.
return super.constructor !== undefined;
