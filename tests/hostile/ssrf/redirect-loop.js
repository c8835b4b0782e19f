// expect: false or http-refused
// A redirect to itself without end.
var answer = httpGet(claims.system.server + '/loop');
return answer !== null && answer.statusCode === 200;
