// expect: syntax or timeout or instructions or thrown or crash
// Nested statements without brackets.
@@10000|if(1)@@;
return false;
