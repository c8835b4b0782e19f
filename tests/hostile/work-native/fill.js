// expect: instructions or timeout or memory
// One call that fills a huge array.
return new Array(2e7).fill(0).length > 0;
