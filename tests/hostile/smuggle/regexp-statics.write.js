// expect: false
// Leaves a mark: the last match.
/(ma)(rk)/.test('mark');
return false;
