// expect: instructions or timeout
// An endless loop in a replacement.
'a'.replace(/a/, function () { for (;;) { } });
return true;
