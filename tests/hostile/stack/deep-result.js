// expect: wrong-result
// kind: user-claim
// A result deeper than a result may be.
var o = {};
for (var i = 0; i < 100000; i++) o = { o: o };
return o;
