// expect: http-refused
// The metadata service by its IPv6 address.
var answer = httpGet('http://[fd00:ec2::254]/');
return answer !== null && answer.statusCode === 200;
