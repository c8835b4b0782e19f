// expect: memory or thrown or timeout or instructions
// JSON of JSON of JSON: every quote is escaped again.
var s = '"';
for (;;) s = JSON.stringify(s + s);
