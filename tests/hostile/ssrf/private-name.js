// expect: http-refused
// A name whose address is private.
var answer = httpGet('http://private.test/');
return answer !== null && answer.statusCode === 200;
