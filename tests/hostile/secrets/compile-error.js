// expect: syntax
// Puts it where a syntax error quotes the text.
var a = '%SECRET:TOKEN%' '%SECRET:TOKEN%';
return a;
