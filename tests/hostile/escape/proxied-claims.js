// expect: false
// Puts a proxy in the place of the claims for whoever reads them later.
globalThis.claims = new Proxy(claims, { get: function () { return true; } });
claims = globalThis.claims;
return false;
