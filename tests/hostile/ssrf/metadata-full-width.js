// expect: http-refused
// The same in full-width digits.
var answer = httpGet('http://１６９.254.１６９.254/');
return answer !== null && answer.statusCode === 200;
