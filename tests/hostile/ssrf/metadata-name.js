// expect: http-refused
// A name whose address is the metadata service.
var answer = httpGet('http://metadata.test/');
return answer !== null && answer.statusCode === 200;
