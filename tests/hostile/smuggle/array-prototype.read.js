// expect: false
// Looks for that mark.
return [1].indexOf(2) === 0 || [1].some(function () { return false; });
