// expect: false
// Reads paths of the program in an error.
var text = '';
try { null.x; } catch (e) { text = String(e.stack) + String(e); }
return /\/(home|usr|root|src|work|cargo|tmp)\//.test(text);
