// expect: false
// Leaves a mark: frozen claims and lists.
Object.freeze(claims.user.groups);
Object.freeze(claims.user);
Object.freeze(claims);
return false;
