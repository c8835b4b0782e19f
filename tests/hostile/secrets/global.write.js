// expect: false
// Leaves it in a global for another script.
globalThis.stolen = '%SECRET:TOKEN%';
Array.prototype.stolen = '%SECRET:TOKEN%';
return false;
