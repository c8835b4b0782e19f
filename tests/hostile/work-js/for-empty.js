// expect: instructions or timeout
// A loop without a body or a condition.
for (;;);
return true;
