// expect: http-refused
// The same, shortened.
var answer = httpGet('http://127.1:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
