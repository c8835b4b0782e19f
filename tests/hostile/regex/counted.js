// expect: timeout or memory or thrown
// Counted repetitions of counted repetitions.
return /^(?:(?:a{0,60}){0,60}){0,60}$/.test('a'.repeat(500) + 'b');
