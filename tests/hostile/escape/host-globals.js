// expect: false
// Looks for what other hosts leave lying about.
return ['process', 'require', 'module', 'Deno', 'Bun', 'window', 'self', 'global', 'Java', 'Packages', 'load', 'read', 'readFile', 'fetch', 'XMLHttpRequest',
  'WebSocket', 'Worker', 'setTimeout', 'setInterval', 'queueMicrotask', 'importScripts', '$262', 'WebAssembly', 'SharedArrayBuffer', 'Atomics', 'WeakRef',
  'FinalizationRegistry', '__dirname', 'quit', 'exit', 'std', 'os', 'scriptArgs'].some(function (name) { return typeof globalThis[name] !== 'undefined'; });
