// expect: timeout
// Waits on a server that never answers, until its own time is over.
for (;;) httpGet(claims.system.server + '/stall', null, 60000);
