// expect: false or type or http-refused
// Sets the headers that frame a message.
var answer = httpPost(claims.system.server + '/ok', 'GET /smuggled HTTP/1.1\r\n\r\n', 'text/plain', [{ key: 'Content-Length', value: '0' }, { key: 'Transfer-Encoding', value: 'chunked' }]);
return answer !== null && answer.data.indexOf('smuggled') >= 0;
