// expect: syntax or timeout or instructions or thrown or crash or false
// Fifteen thousand right-associative powers.
return 1@@15000|**1@@ === 0;
