// expect: instructions or timeout
// A sticky match of nothing that never moves on.
var expression = /a*/y;
while (expression.exec('') !== null);
return true;
