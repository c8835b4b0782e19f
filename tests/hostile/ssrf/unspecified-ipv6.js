// expect: http-refused
// The same over IPv6.
var answer = httpGet('http://[::]:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
