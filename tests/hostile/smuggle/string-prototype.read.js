// expect: false
// Looks for that mark.
return 'a'.startsWith('b');
