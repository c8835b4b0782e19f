// expect: false
// Reads it, changes what it got, and reads it again unchanged.
var first = cache.getIfPresent('hostile note');
if (first !== null) first.from = 'changed';
var second = cache.getIfPresent('hostile note');
return second !== null && second.from === 'changed';
