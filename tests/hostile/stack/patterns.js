// expect: syntax or timeout or instructions or thrown
// A pattern of ten thousand levels.
var @@10000|[@@a@@10000|]@@ = [];
return false;
