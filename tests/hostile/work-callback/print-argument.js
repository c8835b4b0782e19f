// expect: instructions or timeout
// Prints a value whose text never comes.
console.log({ toString() { for (;;) { } } });
return true;
