// expect: syntax
// Closes the function it is wrapped in.
return false; });
globalThis.out = true;
(function () { return true;
