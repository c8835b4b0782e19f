// expect: memory or instructions or timeout
// Grows the claims it was given.
for (;;) claims.user.groups.push(claims.user.groups.slice());
