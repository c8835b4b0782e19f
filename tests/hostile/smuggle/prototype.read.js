// expect: false
// Looks for that mark.
return ({}).leftBehind === 'mark' || claims.user.leftBehind === 'mark';
