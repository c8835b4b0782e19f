// expect: false
// Leaves a mark: an implicit global.
leftBehind = 'mark';
return false;
