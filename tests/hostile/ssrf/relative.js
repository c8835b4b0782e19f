// expect: type or http-refused
// A URL without a scheme.
var answer = httpGet('//127.0.0.1/');
return answer !== null && answer.statusCode === 200;
