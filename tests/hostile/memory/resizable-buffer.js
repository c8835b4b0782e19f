// expect: thrown or type or false
// A small buffer that wants to grow to a gigabyte.
var buffer = new ArrayBuffer(8, { maxByteLength: 1024 * 1024 * 1024 });
if (!buffer.resizable) return false;
buffer.resize(1024 * 1024 * 1024);
return true;
