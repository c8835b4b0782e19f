// expect: syntax or timeout or instructions or thrown or crash or memory or false
// Leaves a very deep list to be cleaned up.
var a = [];
for (var i = 0; i < 300000; i++) a = [a];
a = null;
return false;
