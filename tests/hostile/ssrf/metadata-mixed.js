// expect: http-refused
// The same in mixed bases with a short tail.
var answer = httpGet('http://169.0xfe.43518/');
return answer !== null && answer.statusCode === 200;
