// expect: instructions or timeout or result
// kind: user-claim
// An endless loop in `toJSON` of the result, which nobody calls.
return { when: { toJSON() { for (;;) { } } } };
