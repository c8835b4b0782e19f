// expect: wrong-result
// kind: host
// Returns it as a host.
return ['%SECRET:TOKEN%'];
