// expect: instructions or timeout
// Catches whatever stops a recursion and starts it again.
for (;;) {
  try { (function f() { f(); })(); } catch (e) { }
}
