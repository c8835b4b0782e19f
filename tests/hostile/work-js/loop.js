// expect: instructions or timeout
// The plainest endless loop.
while (true) {}
