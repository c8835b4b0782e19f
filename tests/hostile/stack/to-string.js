// expect: syntax or timeout or instructions or thrown or false
// A text that needs its own text.
var o = { toString() { return '' + o; } };
return '' + o === 'x';
