// expect: instructions or timeout
// An endless loop in a getter.
return ({ get a() { for (;;) { } } }).a === 1;
