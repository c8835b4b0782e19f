// expect: false
// Prints one letter a line.
'%SECRET:TOKEN%'.split('').forEach(function (c) { console.log(c); });
return false;
