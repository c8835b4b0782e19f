// expect: syntax or thrown or false
// Waits in the wrapper.
var x = await 1;
return x === 1;
