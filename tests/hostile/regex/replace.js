// expect: timeout
// Replaces with an expression that backtracks.
return 'x'.repeat(40).replace(/(x+x+)+y/, '') === '';
