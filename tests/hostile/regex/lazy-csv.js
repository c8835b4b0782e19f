// expect: timeout
// A lazy field matched twenty times.
return /^(.*?,){25}P$/.test('1,'.repeat(40));
