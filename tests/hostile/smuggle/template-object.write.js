// expect: false
// Leaves a mark: a mark at the object of a tagged template.
function tag(parts) { return parts; }
var parts = tag`same text`;
try { parts.mark = 1; } catch (e) { }
try { parts.raw.mark = 1; } catch (e) { }
globalThis.keptParts = parts;
return false;
