// expect: false
// Leaves a mark: a property of a criteria script by its own `arguments.callee`.
staff(claims);
staff.toString = function () { return 'mark'; };
return false;
