// expect: http-refused
// An address with ideographic full stops.
var answer = httpGet('http://127。0。0。1:' + claims.system.internalPort + '/');
return answer !== null && answer.statusCode === 200;
