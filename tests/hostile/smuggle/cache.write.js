// expect: false
// The one legal way from script to script: the cache.
cache.put('hostile note', { from: 'writer' }, 60);
return false;
