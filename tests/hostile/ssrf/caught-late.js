// expect: http-refused
// Catches the refusal in a promise and says yes all the same.
Promise.resolve().then(function () { httpGet('http://169.254.169.254/'); }).catch(function () { });
return true;
