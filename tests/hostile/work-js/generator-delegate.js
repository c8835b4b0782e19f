// expect: instructions or timeout
// A generator that delegates to itself.
function* deeper() { yield 1; yield* deeper(); }
for (const one of deeper()) { }
return true;
