// expect: timeout
// Backtracking that has to compare what it captured.
return /^(.*)*(.*)*\1\2x$/.test('a'.repeat(40) + 'b');
