// expect: secret-missing or false
// Names a missing secret in a comment only.
// %SECRET:NOWHERE%
return false;
