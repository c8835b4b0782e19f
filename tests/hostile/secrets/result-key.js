// expect: wrong-result
// kind: user-claim
// Returns it as a name.
return { ['%SECRET:TOKEN%']: 1 };
