// expect: false or type
// Nails a value to the global object for all time.
Object.defineProperty(globalThis, 'forever', { value: true, writable: false, configurable: false });
Object.freeze(Object.prototype);
Object.freeze(Array.prototype);
return false;
