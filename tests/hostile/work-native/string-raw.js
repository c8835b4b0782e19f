// expect: timeout or memory
// A template of two billion missing parts.
return String.raw({ raw: { length: 2 ** 31 } }).length > 0;
