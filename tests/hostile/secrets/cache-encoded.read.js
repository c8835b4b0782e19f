// expect: false
// Another script prints what it finds there.
console.log(JSON.stringify(cache.getIfPresent('stolen2')));
return false;
