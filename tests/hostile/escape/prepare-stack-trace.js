// expect: false
// Wants call frames instead of a text.
var frames = null;
Error.prepareStackTrace = function (e, list) { frames = list; return list; };
new Error('x').stack;
return frames !== null;
