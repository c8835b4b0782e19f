// expect: false
// Looks for global names that the script reference does not list.
var known = ('Array ArrayBuffer AggregateError AsyncFunction BigInt BigInt64Array BigUint64Array Boolean DataView Date Error EvalError Float16Array Float32Array Float64Array Function ' +
  'Infinity Int16Array Int32Array Int8Array Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError Reflect RegExp Set String Symbol SyntaxError ' +
  'TypeError TypedArray URIError Uint16Array Uint32Array Uint8Array Uint8ClampedArray WeakMap WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval ' +
  'globalThis isFinite isNaN parseFloat parseInt undefined unescape AsyncDisposableStack DisposableStack SuppressedError ' +
  'claims console print httpGet httpPost httpPut httpDelete cache auditLog atob btoa').split(' ');
var unknown = Object.getOwnPropertyNames(globalThis).filter(function (name) { return known.indexOf(name) < 0; });
console.log('unknown: ' + unknown.join(' '));
return unknown.length > 0;
