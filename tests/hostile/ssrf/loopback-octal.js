// expect: http-refused
// The same in octal, shortened.
var answer = httpGet('http://0177.1:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
