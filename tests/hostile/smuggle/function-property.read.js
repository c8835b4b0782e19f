// expect: false
// Looks for that mark.
return staff.leftBehind === 'mark';
