// expect: syntax or timeout or instructions or thrown
// A thousand nested functions.
@@1000|(function () { return @@1@@1000|})()@@;
return false;
