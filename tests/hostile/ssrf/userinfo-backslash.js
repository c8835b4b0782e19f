// expect: http-refused
// A backslash that some take for part of the user.
var answer = httpGet('http://127.0.0.1:' + claims.system.internalPort + '\\@good.test/');
return answer !== null && answer.statusCode === 200;
