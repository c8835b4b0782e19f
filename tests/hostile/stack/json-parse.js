// expect: syntax or timeout or instructions or thrown or crash or false
// Reads a hundred thousand nested lists.
return JSON.parse('['.repeat(100000) + ']'.repeat(100000)).length > 5;
