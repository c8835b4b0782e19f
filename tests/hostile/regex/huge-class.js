// expect: timeout or instructions or memory
// Builds large expressions over and over.
for (;;) new RegExp('[' + 'a-zA-Z0-9'.repeat(5000) + ']');
