// expect: instructions or timeout
// kind: user-claim
// An endless loop in a getter of the result, run by whoever reads it.
return { groups: [], get more() { for (;;) { } } };
