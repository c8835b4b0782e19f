// expect: timeout or memory or thrown or instructions
// A call with a hundred million arguments.
return Math.max.apply(null, { length: 1e8 }) === 1;
