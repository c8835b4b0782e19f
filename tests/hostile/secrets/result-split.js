// expect: wrong-result
// kind: user-claim
// Returns it in two halves side by side.
var s = '%SECRET:TOKEN%';
return { list: s.split('') };
