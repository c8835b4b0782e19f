// expect: syntax or timeout or instructions or thrown or crash or memory or false
// A proxy of a proxy of a proxy, fifty thousand times.
var p = {};
for (var i = 0; i < 50000; i++) p = new Proxy(p, {});
return p.missing === 1;
