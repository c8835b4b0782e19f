// expect: type or http-refused or thrown
// A URL of a megabyte.
httpGet(claims.system.server + '/' + 'x'.repeat(1 << 20));
return true;
