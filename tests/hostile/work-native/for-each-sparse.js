// expect: instructions or timeout
// Visits four billion holes.
var a = [];
a.length = 4294967295;
a.forEach(function () { });
return true;
