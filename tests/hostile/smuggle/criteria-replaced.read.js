// expect: false
// Looks for that mark.
return staff(claims);
