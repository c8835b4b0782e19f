// expect: http-refused
// A harmless host that is only the user name.
var answer = httpGet('http://good.test@127.0.0.1:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
