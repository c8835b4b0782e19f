// expect: false
// Another script looks for it.
console.log(typeof stolen + [].stolen);
return typeof stolen !== 'undefined';
