// expect: timeout
// Splits with an expression that backtracks at every place.
return ('a'.repeat(40) + 'b').split(/(?:a+)+c/).length > 5;
