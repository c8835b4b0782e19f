// expect: false
// The script with the secret, as it stands.
var token = '%SECRET:TOKEN%';
return token === '';
