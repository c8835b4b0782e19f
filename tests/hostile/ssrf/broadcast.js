// expect: http-refused
// The broadcast address.
var answer = httpGet('http://255.255.255.255/');
return answer !== null && answer.statusCode === 200;
