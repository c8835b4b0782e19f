// expect: http-refused
// Catches the refusal and says yes all the same.
try { httpGet('http://169.254.169.254/'); } catch (e) { }
return true;
