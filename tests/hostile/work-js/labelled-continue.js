// expect: instructions or timeout
// Two loops that restart each other.
outer: for (;;) { for (;;) { continue outer; } }
