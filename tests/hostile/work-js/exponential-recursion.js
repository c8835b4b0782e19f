// expect: instructions or timeout
// Shallow recursion with a huge number of calls.
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
return fib(60) > 0;
