// expect: false
// Leaves a mark: the place a literal goes on from.
var e = /a/g;
e.test('aaa');
return false;
