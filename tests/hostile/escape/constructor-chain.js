// expect: type
// Code from a text by the constructor of a constructor.
return [].constructor.constructor('return this')() !== undefined;
