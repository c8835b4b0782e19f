// expect: syntax or timeout or instructions or thrown or type
// A call of itself with spread arguments.
function f() { return f(...arguments, 1); }
return f() === 1;
