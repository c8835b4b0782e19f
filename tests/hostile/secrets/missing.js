// expect: secret-missing
// Names a secret that does not exist.
return '%SECRET:NOWHERE%' === '';
