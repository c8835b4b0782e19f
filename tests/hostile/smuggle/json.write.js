// expect: false
// Leaves a mark: a patched `JSON`.
JSON.stringify = function () { return 'mark'; };
return false;
