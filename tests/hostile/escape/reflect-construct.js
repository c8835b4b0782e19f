// expect: type
// Code from a text by `Reflect.construct`.
return Reflect.construct(Function, ['return true'])();
