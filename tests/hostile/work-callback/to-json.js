// expect: instructions or timeout
// An endless loop while JSON is written.
JSON.stringify({ toJSON() { for (;;) { } } });
return true;
