// expect: instructions or timeout
// kind: user-claim
// A result whose names never end.
return new Proxy({}, { ownKeys() { for (;;) { } } });
