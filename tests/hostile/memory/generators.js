// expect: memory or instructions or timeout
// Keeps ever more generators that have begun.
function* one(a) { yield a; yield a; }
var kept = [];
for (;;) { var g = one(new Array(100).fill(1)); g.next(); kept.push(g); }
