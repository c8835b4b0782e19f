// expect: timeout
// Exponential backtracking, the classic.
return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaab');
