// expect: http-refused
// The metadata service of a cloud.
var answer = httpGet('http://169.254.169.254/latest/meta-data/');
return answer !== null && answer.statusCode === 200;
