// expect: timeout
// Exponential backtracking inside a lookbehind.
return /(?<=^b(a+)+)c/.test('a'.repeat(40) + 'c');
