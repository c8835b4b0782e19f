// expect: timeout or memory
// Pretends to be an array of four billion elements.
return [].concat({ [Symbol.isConcatSpreadable]: true, length: 2 ** 32 - 2 }).length > 0;
