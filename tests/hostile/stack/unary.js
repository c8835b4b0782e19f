// expect: syntax or timeout or instructions or thrown or crash
// Sixty thousand nots, no bracket at all.
return @@60000|!@@0;
