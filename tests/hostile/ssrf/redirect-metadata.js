// expect: false or http-refused
// A redirect to the metadata service.
var answer = httpGet(claims.system.server + '/redirect?to=' + encodeURIComponent('http://169.254.169.254/'));
return answer !== null && answer.statusCode === 200;
