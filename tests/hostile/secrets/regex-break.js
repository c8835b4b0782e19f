// expect: false or syntax
// A value must not end a regular expression.
var value = /%SECRET:TOKEN%/;
return value.test('%SECRET:TOKEN%') === false;
