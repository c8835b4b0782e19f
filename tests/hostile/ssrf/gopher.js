// expect: http-refused
// Another protocol to a service of this machine.
var answer = httpGet('gopher://127.0.0.1:' + claims.system.internalPort + '/_GET');
return answer !== null && answer.statusCode === 200;
