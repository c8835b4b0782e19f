// expect: instructions or timeout
// An endless loop in a callback of `map`.
[1].map(function () { for (;;) { } });
return true;
