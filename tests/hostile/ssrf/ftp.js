// expect: http-refused
// One more protocol.
var answer = httpGet('ftp://127.0.0.1/');
return answer !== null && answer.statusCode === 200;
