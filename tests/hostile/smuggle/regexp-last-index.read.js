// expect: false
// Looks for that mark.
var e = /a/g;
var moved = e.lastIndex !== 0;
e.test('aaa');
return moved;
