// expect: false
// Leaves a mark: a property of every object.
Object.prototype.leftBehind = 'mark';
return false;
