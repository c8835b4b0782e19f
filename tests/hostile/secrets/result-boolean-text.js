// expect: wrong-result
// Returns it where a boolean is due, so that the message may hold it.
return '%SECRET:TOKEN%';
