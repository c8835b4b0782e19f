// expect: false or http-refused or type or thrown or wrong-result
// Puts it into the cache backwards.
cache.put('stolen2', '%SECRET:TOKEN%'.split('').reverse().join(''), 60);
return false;
