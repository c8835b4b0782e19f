// expect: instructions or timeout or memory
// Normalises a text that grows eighteen-fold, over and over.
var text = '\ufdfa'.repeat(50000);
for (;;) text.normalize('NFKD');
