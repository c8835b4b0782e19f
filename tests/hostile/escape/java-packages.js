// expect: thrown or type or syntax
// The same by packages.
return Packages.java.lang.Runtime.getRuntime() !== null;
