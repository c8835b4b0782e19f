// expect: instructions or timeout or memory
// A replacement ten thousand times as long as what it replaces.
return 'a'.repeat(100000).replaceAll('a', 'b'.repeat(10000)).length > 0;
