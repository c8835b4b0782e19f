// expect: false
// An answer larger than an answer may be.
var answer = httpGet(claims.system.server + '/big');
return answer !== null;
