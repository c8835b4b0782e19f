// expect: false
// Looks for that mark.
return JSON.stringify({}) === 'mark';
