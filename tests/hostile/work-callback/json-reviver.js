// expect: instructions or timeout
// An endless loop while JSON is read.
JSON.parse('[1]', function () { for (;;) { } });
return true;
