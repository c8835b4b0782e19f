// expect: memory or instructions or timeout or thrown
// Fills the cache; what is beyond its bound is dropped.
var value = 'x'.repeat(200000);
for (var i = 0; ; i++) cache.put('flood ' + i, value, 60);
