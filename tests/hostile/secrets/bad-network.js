// expect: type or thrown
// Puts it into a message of a helper.
return claims.system.isClientInNetwork('%SECRET:TOKEN%');
