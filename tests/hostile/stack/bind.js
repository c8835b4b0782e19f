// expect: syntax or timeout or instructions or thrown or crash or memory
// A function bound a hundred thousand times.
var f = function () { return 1; };
for (var i = 0; i < 100000; i++) f = f.bind(null);
return f() === 2;
