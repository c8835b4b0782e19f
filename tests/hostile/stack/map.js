// expect: syntax or timeout or instructions or thrown or crash
// Maps within the callback of a map.
function deeper() { return [1].map(deeper); }
return deeper().length === 1;
