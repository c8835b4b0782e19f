// expect: instructions or timeout or memory or http-refused or thrown or type
// Writes audit texts without end; what is beyond the bound is dropped.
var line = 'x'.repeat(4000);
for (;;) auditLog(line);
