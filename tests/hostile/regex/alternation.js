// expect: timeout
// Exponential backtracking by overlapping alternatives.
return /^(a|aa)+$/.test('a'.repeat(60) + 'b');
