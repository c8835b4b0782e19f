// expect: false
// Replaces what the helpers of the claims are found by.
Object.setPrototypeOf(claims.system, { isClientInNetwork: function () { return true; } });
return false;
