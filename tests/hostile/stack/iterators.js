// expect: syntax or timeout or instructions or thrown or crash or memory
// Iterators wrapped in iterators, fifty thousand times.
function* wrap(inner) { yield* inner; }
var i = [1][Symbol.iterator]();
for (var n = 0; n < 50000; n++) i = wrap(i);
for (const one of i) { }
return true;
