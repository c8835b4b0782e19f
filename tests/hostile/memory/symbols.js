// expect: memory or instructions or timeout
// Symbols in a registry that never forgets.
for (var i = 0; ; i++) Symbol.for('a rather long description of a symbol, number ' + i);
