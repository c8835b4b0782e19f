// expect: false
// Another script, which names no secret, prints what it finds there.
console.log(JSON.stringify(cache.getIfPresent('stolen')));
return false;
