// expect: type
// The same without `new`.
return Function('return true')();
