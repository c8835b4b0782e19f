// expect: instructions or timeout
// An endless loop in a `then` of its own.
Promise.resolve({ then() { for (;;) { } } });
return true;
