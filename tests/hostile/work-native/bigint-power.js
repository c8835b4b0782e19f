// expect: timeout or thrown or memory
// A power with thirty million digits.
return (3n ** 60000000n) % 7n === 1n;
