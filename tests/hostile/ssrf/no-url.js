// expect: type
// A text that is no URL.
var answer = httpGet('not a url');
return answer !== null && answer.statusCode === 200;
