// expect: false
// Writes it to the audit log.
auditLog('%SECRET:TOKEN%');
auditLog(btoa('%SECRET:TOKEN%'));
return false;
