// expect: timeout or instructions or memory
// Tries every start of a long text, each to the end.
return 'a'.repeat(60000).match(/a+b/g) !== null;
