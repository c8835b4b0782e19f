// expect: instructions or timeout
// An endless loop in a comparator.
[2, 1].sort(function () { for (;;) { } });
return true;
