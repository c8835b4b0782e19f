// expect: syntax or timeout or instructions or thrown or crash
// Replaces within a replacement.
function deeper() { return 'a'.replace(/a/, deeper); }
return deeper() === 'b';
