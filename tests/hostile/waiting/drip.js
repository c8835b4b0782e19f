// expect: timeout or false
// An answer that comes one byte at a time, for ever.
var answer = httpGet(claims.system.server + '/drip', null, 60000);
return answer !== null;
