// expect: wrong-result
// An object that says it is true.
return { [Symbol.toPrimitive]() { return true; }, valueOf() { return true; } };
