// expect: wrong-result
// kind: user-claim
// Returns it.
return { note: '%SECRET:TOKEN%' };
