// expect: false or http-refused
// Lets the allowed server send it on to another.
var answer = httpGet(claims.system.server + '/redirect?to=' + encodeURIComponent(claims.system.foreign + '/?t=%SECRET:TOKEN%'), [{ key: 'Authorization', value: 'Bearer %SECRET:TOKEN%' }]);
return answer !== null && answer.statusCode === 200;
