// expect: instructions or timeout
// An endless loop where a value becomes a number.
return { valueOf() { for (;;) { } } } > 1;
