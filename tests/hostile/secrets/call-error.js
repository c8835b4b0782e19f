// expect: type or http-refused or thrown
// Puts it into the message of a call that makes no sense.
httpGet('http://[%SECRET:TOKEN%');
return true;
