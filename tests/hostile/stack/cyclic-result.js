// expect: wrong-result or type
// kind: user-claim
// A result that holds itself.
var o = {};
o.self = o;
return o;
