// expect: wrong-result
// A proxy where a boolean is due.
return new Proxy(new Boolean(true), {});
