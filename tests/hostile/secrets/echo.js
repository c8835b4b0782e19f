// expect: false
// Lets the allowed server echo it, and prints the answer.
var answer = httpGet(claims.system.server + '/echo?t=%SECRET:TOKEN%');
console.log(answer === null ? 'nothing' : answer.data);
return false;
