// expect: false
// Makes every object an administrator, then asks for a claim that is missing.
Object.prototype.isAdmin = true;
claims.user.__proto__.isAdmin = true;
return false;
