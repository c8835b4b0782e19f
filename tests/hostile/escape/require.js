// expect: thrown
// Asks for the modules of other programs.
return require('fs') !== undefined;
