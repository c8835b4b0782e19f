// expect: wrong-result or memory or timeout or instructions
// kind: host
// A result larger than a result may be.
var list = [];
for (var i = 0; i < 200000; i++) list.push('host-' + i + '.example.com');
return list;
