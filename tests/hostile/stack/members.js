// expect: syntax or timeout or instructions or thrown or crash or false or type
// A chain of fifteen thousand members.
var a = {};
a.a = a;
return a@@15000|.a@@ === 1;
