// expect: type or http-refused or thrown
// A body of three megabytes.
httpPost(claims.system.server + '/ok', 'x'.repeat(3 << 20));
return true;
