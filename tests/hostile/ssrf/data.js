// expect: http-refused
// An answer in its own name.
var answer = httpGet('data:text/plain,200');
return answer !== null && answer.statusCode === 200;
