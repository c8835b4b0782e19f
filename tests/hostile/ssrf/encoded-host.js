// expect: http-refused
// An address with an encoded digit.
var answer = httpGet('http://127.0.0.%31:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
