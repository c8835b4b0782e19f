// expect: thrown
// One buffer of a gigabyte.
return new ArrayBuffer(1024 * 1024 * 1024).byteLength > 0;
