// expect: syntax or timeout or instructions or thrown or crash or false
// Fifteen thousand arrow functions in one another.
var f = @@15000|a=>@@1;
return f(1) === 1;
