// expect: syntax or timeout or instructions or thrown or crash or false
// Twenty thousand assignments in one.
var a;
return @@20000|a=@@0 === 1;
