// expect: http-refused
// A tab inside the address.
var answer = httpGet('http://127.0.\t0.1:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
