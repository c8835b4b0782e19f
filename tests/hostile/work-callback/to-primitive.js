// expect: instructions or timeout
// An endless loop in a conversion chosen by symbol.
return +{ [Symbol.toPrimitive]() { for (;;) { } } } === 1;
