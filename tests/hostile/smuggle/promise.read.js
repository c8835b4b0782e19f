// expect: false
// Looks for that mark.
return typeof late !== 'undefined' || Promise.resolve().then() === 'mark';
