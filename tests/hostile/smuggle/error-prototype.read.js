// expect: false
// Looks for that mark.
return TypeError.prototype.name === 'mark' || Error.stackTraceLimit === 7;
