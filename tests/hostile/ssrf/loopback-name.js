// expect: http-refused
// The same by name.
var answer = httpGet('http://localhost:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
