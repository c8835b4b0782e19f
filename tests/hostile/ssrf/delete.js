// expect: http-refused
// The same by DELETE.
return httpDelete('http://169.254.169.254/') !== null;
