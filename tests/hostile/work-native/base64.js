// expect: instructions or timeout or memory
// Encodes and decodes a long text over and over.
var text = 'abcdefgh'.repeat(20000);
for (;;) atob(btoa(text));
