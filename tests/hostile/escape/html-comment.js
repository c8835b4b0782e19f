// expect: false
// Comments out what comes after it.
return false; <!--
