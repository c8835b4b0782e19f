// expect: false
// Leaves a mark: a global, in a run that is then cut short.
globalThis.beforeTheEnd = true;
var one = 1;
return one === 2;
