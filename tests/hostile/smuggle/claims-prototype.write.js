// expect: false
// Leaves a mark: a change of what the claims inherit from.
Object.getPrototypeOf(claims.user).isAdmin = true;
Object.getPrototypeOf(claims.user.groups).includes = function () { return true; };
return false;
