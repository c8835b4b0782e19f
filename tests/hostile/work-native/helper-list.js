// expect: instructions or timeout or memory
// A helper of ours made to look through huge lists, each element with a text of its own.
var list = { length: 100000, get 5() { return 'x'; } };
for (;;) Array.prototype.containsText.call(list, 'y');
