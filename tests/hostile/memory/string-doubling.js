// expect: memory or thrown or timeout
// A text that doubles until there is no room.
var s = 'abcdefgh';
while (true) { s += s; s.charCodeAt(s.length - 1); }
