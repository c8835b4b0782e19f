// expect: instructions or timeout or memory
// Sorts a long list of texts over and over.
var a = [];
for (var i = 0; i < 50000; i++) a.push('item ' + (i * 7919 % 50000));
for (;;) a.slice().sort();
