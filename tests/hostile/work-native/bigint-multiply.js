// expect: instructions or timeout or memory
// Squares a number until it fills memory or time.
var n = 3n;
for (;;) n = n * n;
