// expect: wrong-result
// A promise of true.
return Promise.resolve(true);
