// expect: instructions or timeout
// A getter that reads itself.
var o = { get a() { return o.a; } };
return o.a === 1;
