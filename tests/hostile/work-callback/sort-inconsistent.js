// expect: instructions or timeout or crash
// A comparator that never agrees with itself.
var a = new Array(3000).fill(1), n = 0;
for (;;) a.sort(function () { return (n = n * 1103515245 + 12345 & 0x7fffffff) % 3 - 1; });
