// expect: instructions or timeout or memory
// Thirty levels of pairs that share their halves: 2^30 leaves when written out.
var a = 'x';
for (var i = 0; i < 30; i++) a = [a, a];
return JSON.stringify(a).length > 0;
