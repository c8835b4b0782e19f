// expect: false or type or http-refused
// Smuggles a second request in the path.
var answer = httpGet(claims.system.server + '/ok HTTP/1.1\r\nHost: internal.test\r\n\r\nGET /smuggled');
return answer !== null && answer.data.indexOf('smuggled') >= 0;
