// expect: false
// Leaves a mark: a patched method, by a writing built-in that stands under a harmless name.
var tool = { indexOf: Reflect['s' + 'et'] };
tool.indexOf(Array.prototype, 'leftBehind', 'mark');
return false;
