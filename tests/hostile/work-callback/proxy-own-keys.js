// expect: instructions or timeout
// An endless loop in the trap that lists names.
return Object.keys(new Proxy({}, { ownKeys() { for (;;) { } } })).length > 0;
