// expect: instructions or timeout
// Goes on in `finally` when the loop is stopped.
try { while (true) {} } catch (e) { while (true) {} } finally { while (true) {} }
