// expect: false or type or http-refused or thrown
// A URL that is another text each time it is read.
var times = 0;
var url = { toString() { times += 1; return times === 1 ? claims.system.server + '/ok' : claims.system.internal + '/admin'; } };
var answer = httpGet(url);
return answer !== null && answer.data.indexOf('internal') >= 0;
