// expect: false or http-refused
// A redirect to a file.
var answer = httpGet(claims.system.server + '/redirect?to=' + encodeURIComponent('file:///etc/passwd'));
return answer !== null && answer.statusCode === 200;
