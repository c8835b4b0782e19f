// expect: false or type
// Walks up from a function to whoever called it.
function whoCalled() { return whoCalled.caller; }
var caller = whoCalled();
return caller !== null && caller !== undefined && caller.caller !== null && caller.caller !== undefined;
