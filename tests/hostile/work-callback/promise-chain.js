// expect: false
// A job that queues the next one for ever; jobs beyond the bound are dropped.
function next() { Promise.resolve().then(next).then(next); }
next();
return false;
