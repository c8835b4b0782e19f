// expect: false
// A value full of quotes must not close its literal.
var value = '%SECRET:QUOTES%';
return typeof broken !== 'undefined' || value.length < 10;
