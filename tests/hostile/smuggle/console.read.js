// expect: false
// Looks for that mark.
return console.log() === 'mark';
