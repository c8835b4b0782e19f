// expect: timeout
// Exponential backtracking by optional parts.
return new RegExp('a?'.repeat(30) + 'a'.repeat(30) + 'b').test('a'.repeat(30));
