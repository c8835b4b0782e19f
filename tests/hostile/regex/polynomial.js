// expect: timeout or instructions
// Backtracking of a high power over a long text.
return /a*a*a*a*a*b/.test('a'.repeat(3000));
