// expect: http-refused
// The address that means this machine.
var answer = httpGet('http://0.0.0.0:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
