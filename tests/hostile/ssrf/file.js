// expect: http-refused
// A file.
var answer = httpGet('file:///etc/passwd');
return answer !== null && answer.statusCode === 200;
