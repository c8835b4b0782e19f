// expect: false
// Leaves a mark: a getter on the prototype of every object, which would run in the next script.
Object.defineProperty(Object.prototype, 'department', { get: function () { return 'admins'; }, configurable: true });
return false;
