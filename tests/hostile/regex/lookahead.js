// expect: timeout
// Exponential backtracking inside a lookahead.
return /^(?=(a+)+b)c/.test('a'.repeat(40));
