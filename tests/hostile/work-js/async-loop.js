// expect: false
// An endless chain of awaits behind the result; what is queued beyond the bound is dropped.
(async function () { for (;;) await 0; })();
return false;
