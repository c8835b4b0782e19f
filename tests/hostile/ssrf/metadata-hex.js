// expect: http-refused
// The same in hexadecimal.
var answer = httpGet('http://0xA9FEA9FE/');
return answer !== null && answer.statusCode === 200;
