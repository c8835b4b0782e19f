// expect: http-refused
// The same inside an IPv6 address.
var answer = httpGet('http://[::ffff:169.254.169.254]/');
return answer !== null && answer.statusCode === 200;
