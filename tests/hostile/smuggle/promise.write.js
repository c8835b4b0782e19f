// expect: false
// Leaves a mark: a patched `Promise`, and a job that outlives the run.
Promise.prototype.then = function () { return 'mark'; };
Promise.resolve().then(function () { globalThis.late = true; });
return false;
