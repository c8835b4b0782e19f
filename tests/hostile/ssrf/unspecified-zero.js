// expect: http-refused
// The same as a zero.
var answer = httpGet('http://0:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
