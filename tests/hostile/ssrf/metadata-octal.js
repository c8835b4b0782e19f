// expect: http-refused
// The same in octal.
var answer = httpGet('http://0251.0376.0251.0376/');
return answer !== null && answer.statusCode === 200;
