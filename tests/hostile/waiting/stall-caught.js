// expect: timeout
// The same, and catches what it can.
for (;;) { try { httpGet(claims.system.server + '/stall'); } catch (e) { } finally { httpGet(claims.system.server + '/stall'); } }
