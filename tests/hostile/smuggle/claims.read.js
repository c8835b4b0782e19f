// expect: false
// Looks for that mark.
return claims.user.isAdmin === true || claims.user.groups.indexOf('admins') >= 0 || claims.added === true;
