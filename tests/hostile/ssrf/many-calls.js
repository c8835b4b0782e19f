// expect: http-refused
// More calls than one run may make.
for (var i = 0; i < 200; i++) httpGet(claims.system.server + '/ok');
return true;
