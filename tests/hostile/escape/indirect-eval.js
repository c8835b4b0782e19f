// expect: type
// `eval` in the global scope.
return (0, eval)('true');
