// expect: false or type or http-refused
// Smuggles a second request in a header.
var answer = httpGet(claims.system.server + '/ok', [{ key: 'X-A', value: 'x\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: internal.test\r\n\r\n' }]);
return answer !== null && answer.data.indexOf('smuggled') >= 0;
