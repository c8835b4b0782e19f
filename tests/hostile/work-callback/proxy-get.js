// expect: instructions or timeout
// An endless loop in a trap.
return new Proxy({}, { get() { for (;;) { } } }).x === 1;
