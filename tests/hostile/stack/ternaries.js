// expect: syntax or timeout or instructions or thrown or crash or false
// Fifteen thousand conditions in one.
return @@15000|0?1:@@false;
