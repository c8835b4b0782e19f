// expect: syntax or timeout or instructions or thrown or crash or false
// Five thousand conditions in a chain.
if (0) { }@@5000|else if(0){}@@
return false;
