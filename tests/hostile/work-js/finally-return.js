// expect: instructions or timeout
// Overrules every way out with one more round.
function round() { try { throw 1; } catch (e) { return 2; } finally { for (;;) { try { continue; } finally { } } } }
return round() === 2;
