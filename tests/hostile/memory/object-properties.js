// expect: memory or instructions or timeout
// An object with ever more names.
var o = {};
for (var i = 0; ; i++) o['name' + i] = i;
