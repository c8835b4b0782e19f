// expect: thrown or type or syntax
// Asks for a class of the Java world.
return Java.type('java.lang.System').getenv('PATH') !== null;
