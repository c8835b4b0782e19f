// expect: syntax or timeout or instructions or thrown or crash
// A constructor that constructs itself.
class C { constructor() { new C(); } }
new C();
return true;
