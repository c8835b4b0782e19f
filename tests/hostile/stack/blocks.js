// expect: syntax or timeout or instructions or thrown
// Three thousand nested blocks.
@@3000|{@@@@3000|}@@
return false;
