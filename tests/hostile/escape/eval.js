// expect: type
// Code from a text by `eval`.
return eval('true');
