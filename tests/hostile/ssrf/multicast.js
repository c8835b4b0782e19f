// expect: http-refused
// A multicast address.
var answer = httpGet('http://224.0.0.1/');
return answer !== null && answer.statusCode === 200;
