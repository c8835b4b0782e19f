// expect: false
// Leaves a mark: a property of sloppy `this`.
this.leftBehind3 = 'mark';
(function () { this.leftBehind4 = 'mark'; })();
return false;
