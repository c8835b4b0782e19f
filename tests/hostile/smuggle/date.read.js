// expect: false
// Looks for that mark.
return Date.now() === 0 || new Date(2020, 0, 1, 12).getHours() === 3;
