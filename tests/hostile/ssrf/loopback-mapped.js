// expect: http-refused
// The same, mapped.
var answer = httpGet('http://[::ffff:7f00:1]:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
