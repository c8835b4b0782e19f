// expect: instructions or timeout or memory
// One call that joins a hundred million holes.
return new Array(1e8).join('xx').length > 0;
