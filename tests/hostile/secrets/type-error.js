// expect: type
// Puts it into a message of the engine.
return null['%SECRET:TOKEN%'] === 1;
