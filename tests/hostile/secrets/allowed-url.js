// expect: false
// Sends it where it may go; the record of the call must not show it.
httpGet(claims.system.server + '/ok/%SECRET:TOKEN%?t=%SECRET:TOKEN%');
httpGet(claims.system.server + '/ok/' + '%SECRET:TOKEN%'.split('').join('/'));
return false;
