// expect: syntax or timeout or instructions or thrown or crash or false
// A sum of twenty thousand terms.
return 0@@20000|+1@@ === 0;
