// expect: false
// Takes the parameter of the wrapper for its own.
var claims;
var missing = claims === undefined;
return missing && true;
