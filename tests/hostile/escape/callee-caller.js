// expect: false or type
// The same by `arguments.callee`.
function f() { return arguments.callee.caller; }
var c = f();
return !!c && !!c.caller;
