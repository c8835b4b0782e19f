// expect: false
// Leaves a mark: a symbol in the registry.
Object.defineProperty(Symbol.for('mark').constructor, 'leftBehind', { value: Symbol.for('mark'), configurable: true });
return false;
