// expect: false or http-refused
// A name that answers with a harmless address first and with a forbidden one the second time.
var answer = httpGet('http://rebind.test:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
