// expect: false
// Looks into the arguments of the wrapper.
return arguments.length > 1;
