// expect: instructions or timeout
// An endless generator.
function* endless() { for (;;) yield 1; }
var sum = 0;
for (const one of endless()) sum += one;
return true;
