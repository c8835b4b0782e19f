// expect: false
// Names another host in a header.
var answer = httpGet(claims.system.server + '/echo-host', [{ key: 'Host', value: 'internal.test' }]);
return answer !== null && answer.data.indexOf('internal.test') >= 0;
