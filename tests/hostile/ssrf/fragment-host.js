// expect: http-refused
// A host that is only a fragment.
var answer = httpGet('http://127.0.0.1:' + claims.system.internalPort + '#@good.test/');
return answer !== null && answer.statusCode === 200;
