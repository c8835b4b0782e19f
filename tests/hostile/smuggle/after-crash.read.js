// expect: false
// Looks for that mark.
return typeof beforeTheEnd !== 'undefined';
