// expect: false
// Looks for that mark.
return claims.user.department === 'admins' || claims.device.department === 'admins';
