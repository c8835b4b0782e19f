// expect: instructions or timeout
// Throws an error whose text never comes.
throw { name: "x", get message() { for (;;) { } } };
