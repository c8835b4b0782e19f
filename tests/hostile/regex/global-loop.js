// expect: instructions or timeout
// Sets back the place a search goes on from.
var expression = /a/g;
while (expression.exec('aaa')) expression.lastIndex = 0;
return true;
