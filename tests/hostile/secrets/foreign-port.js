// expect: http-refused
// Sends it to another port of the allowed server.
httpGet('http://good.test:1/?t=%SECRET:TOKEN%');
return true;
