// expect: http-refused
// The same inside a 6to4 address.
var answer = httpGet('http://[2002:a9fe:a9fe::1]/');
return answer !== null && answer.statusCode === 200;
