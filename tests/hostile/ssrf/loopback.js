// expect: http-refused
// A service of this machine.
var answer = httpGet(claims.system.internal + '/admin');
return answer !== null && answer.statusCode === 200;
