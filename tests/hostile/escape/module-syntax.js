// expect: syntax
// Exports from the wrapper.
export default true;
