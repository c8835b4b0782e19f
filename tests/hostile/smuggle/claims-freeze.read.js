// expect: false
// Looks for that mark.
return Object.isFrozen(claims) || Object.isFrozen(claims.user) || Object.isFrozen(claims.user.groups);
