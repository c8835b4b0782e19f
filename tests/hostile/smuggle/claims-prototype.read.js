// expect: false
// Looks for that mark.
return claims.user.isAdmin === true || claims.user.groups.includes('nobody has this');
