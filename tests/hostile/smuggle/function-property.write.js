// expect: false
// Leaves a mark: a property of a criteria script.
staff.leftBehind = 'mark';
return false;
