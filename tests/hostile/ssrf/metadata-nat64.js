// expect: http-refused
// The same behind an address translation prefix.
var answer = httpGet('http://[64:ff9b::a9fe:a9fe]/');
return answer !== null && answer.statusCode === 200;
