// expect: false or syntax
// Hides a line end in a comment.
//\u2028 return true;
return false;
