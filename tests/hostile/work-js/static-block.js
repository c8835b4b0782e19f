// expect: instructions or timeout
// Works while a class is being defined.
class Busy { static { for (;;) { } } }
return true;
