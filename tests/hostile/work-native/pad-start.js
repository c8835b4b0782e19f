// expect: instructions or timeout or memory
// One call that pads to a quarter of a gigabyte.
return 'x'.padStart(2 ** 28, 'yz').length > 0;
