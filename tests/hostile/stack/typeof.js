// expect: syntax or timeout or instructions or thrown or crash or false
// Nine thousand prefix operators.
return (@@9000|typeof @@1) === 0;
