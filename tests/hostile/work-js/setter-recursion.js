// expect: instructions or timeout
// A setter that sets itself.
var o = { set a(value) { o.a = value; } };
o.a = 1;
return true;
