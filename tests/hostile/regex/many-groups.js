// expect: instructions or timeout or memory
// Five thousand groups, matched over and over.
var expression = new RegExp('(a?)'.repeat(5000));
for (;;) expression.exec('a');
