// expect: timeout
// Exponential backtracking with case folding over Unicode.
return /^(\u017f|s)+$/iu.test('S'.repeat(50) + '!');
