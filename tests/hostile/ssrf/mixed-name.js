// expect: http-refused
// A name with a harmless and a forbidden address.
var answer = httpGet('http://mixed.test/');
return answer !== null && answer.statusCode === 200;
