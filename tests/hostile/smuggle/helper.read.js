// expect: false
// Looks for that mark.
return claims.system.isClientInNetwork('198.51.100.0/24');
