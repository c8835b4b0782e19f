// expect: false
// Leaves a mark: a patched method, by names made at run time.
var owner = [].constructor['proto' + 'type'];
owner['inc' + 'ludes'] = function () { return true; };
return false;
