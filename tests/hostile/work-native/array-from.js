// expect: instructions or timeout or memory
// One call that makes a huge array from nothing.
return Array.from({ length: 2e7 }).length > 0;
