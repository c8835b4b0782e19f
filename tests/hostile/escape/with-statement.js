// expect: false
// Puts its own scope between a name and its meaning.
var answer = false;
with ({ claims: { user: { username: 'root' } } }) { answer = claims.user.username === 'root' && globalThis.claims.user.username === 'root'; }
return answer;
