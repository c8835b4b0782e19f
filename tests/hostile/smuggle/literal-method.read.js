// expect: false
// Looks for that mark.
return [].leftBehind === 'mark';
