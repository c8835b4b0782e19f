// expect: http-refused
// The same as one decimal number.
var answer = httpGet('http://2130706433:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
