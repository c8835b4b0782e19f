// expect: http-refused
// Another address of the same machine.
var answer = httpGet('http://127.255.0.3:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
