// expect: syntax or timeout or instructions or thrown or crash or memory or false
// A class with twenty thousand ancestors.
var C = class { };
for (var i = 0; i < 20000; i++) C = class extends C { };
return new C() === 1;
