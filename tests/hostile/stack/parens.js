// expect: syntax or timeout or instructions or thrown
// Five thousand nested parentheses.
return @@5000|(@@1@@5000|)@@;
