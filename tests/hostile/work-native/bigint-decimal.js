// expect: timeout
// Decimal digits of a huge number take quadratic time.
return (7n ** 800000n).toString().length > 0;
