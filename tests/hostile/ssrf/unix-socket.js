// expect: http-refused
// A socket of this machine.
var answer = httpGet('unix:/var/run/docker.sock');
return answer !== null && answer.statusCode === 200;
