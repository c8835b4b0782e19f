// expect: memory or thrown or timeout
// A template that holds itself twice.
var s = 'abcdefgh';
for (;;) s = `${s}${s}!`;
