// expect: false
// Leaves a mark: a patched `console`.
console.log = function () { return 'mark'; };
return false;
