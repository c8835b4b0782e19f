// expect: instructions or timeout
// An endless loop through a switch.
var state = 0;
for (;;) { switch (state) { case 0: state = 1; break; default: state = 0; } }
