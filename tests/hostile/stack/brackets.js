// expect: syntax or timeout or instructions or thrown
// Twenty thousand nested lists.
return @@20000|[@@@@20000|]@@.length > 5;
