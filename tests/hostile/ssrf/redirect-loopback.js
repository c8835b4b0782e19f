// expect: false or http-refused
// A redirect to a service of this machine; one elsewhere is not followed.
var answer = httpGet(claims.system.server + '/redirect?to=' + encodeURIComponent(claims.system.internal + '/admin'));
return answer !== null && answer.statusCode === 200;
