// expect: http-refused
// The same as one decimal number.
var answer = httpGet('http://2852039166/latest/meta-data/');
return answer !== null && answer.statusCode === 200;
