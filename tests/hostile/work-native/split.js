// expect: instructions or timeout or memory
// Splits a long text into letters over and over.
var text = 'abcdefgh'.repeat(20000);
for (;;) text.split('');
