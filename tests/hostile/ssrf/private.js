// expect: http-refused
// A private address.
var answer = httpGet('http://10.0.0.5/');
return answer !== null && answer.statusCode === 200;
