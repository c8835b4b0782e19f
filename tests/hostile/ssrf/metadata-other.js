// expect: http-refused
// The metadata service of another cloud.
var answer = httpGet('http://100.100.100.200/');
return answer !== null && answer.statusCode === 200;
