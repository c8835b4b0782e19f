// expect: false
// Leaves a mark: a patched helper of the claims.
Object.getPrototypeOf(claims.system).isClientInNetwork = function () { return true; };
claims.system.isClientInNetwork = function () { return true; };
return false;
