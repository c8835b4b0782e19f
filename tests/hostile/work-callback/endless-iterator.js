// expect: instructions or timeout or memory
// An iterator without an end, spread into a list.
var endless = { [Symbol.iterator]() { return { next() { return { value: 1, done: false }; } }; } };
return [...endless].length > 0;
