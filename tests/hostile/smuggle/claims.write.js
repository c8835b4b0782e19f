// expect: false
// Leaves a mark: a change of the claims.
claims.user.isAdmin = true;
claims.user.groups.push('admins');
claims.added = true;
return false;
