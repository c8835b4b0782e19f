// expect: http-refused
// Sends something to the metadata service.
return httpPost('http://169.254.169.254/', 'x', 'text/plain') !== null;
