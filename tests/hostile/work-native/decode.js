// expect: instructions or timeout or memory
// Decodes a long percent encoding over and over.
var text = '%E2%82%AC'.repeat(10000);
for (;;) decodeURIComponent(text);
