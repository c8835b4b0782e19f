// expect: false
// Looks for that mark.
return String(staff) === 'mark';
