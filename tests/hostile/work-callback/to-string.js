// expect: instructions or timeout
// An endless loop where a value becomes a text.
return 'x' + { toString() { for (;;) { } } } === '';
