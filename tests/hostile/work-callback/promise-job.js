// expect: instructions or timeout
// An endless loop that starts after the result is there.
Promise.resolve().then(function () { for (;;) { } });
return true;
