// expect: false or http-refused or type or thrown or wrong-result
// Puts it into the cache for another script.
cache.put('stolen', '%SECRET:TOKEN%', 60);
return false;
