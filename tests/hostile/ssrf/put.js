// expect: http-refused
// The same by PUT.
return httpPut('http://169.254.169.254/', 'x') !== null;
