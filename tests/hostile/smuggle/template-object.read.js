// expect: false
// Looks for that mark.
function tag(parts) { return parts; }
var parts = tag`same text`;
return parts.mark === 1 || parts.raw.mark === 1 || typeof keptParts !== 'undefined';
