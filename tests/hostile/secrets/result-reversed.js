// expect: wrong-result
// kind: user-claim
// Returns it backwards.
return { note: '%SECRET:TOKEN%'.split('').reverse().join('') };
