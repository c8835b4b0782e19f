// expect: instructions or timeout
// Each call runs few rounds, all of them together run 10^15.
function a() { for (var i = 0; i < 1000; i++) b(); }
function b() { for (var i = 0; i < 1000; i++) c(); }
function c() { for (var i = 0; i < 1000; i++) d(); }
function d() { for (var i = 0; i < 1000000; i++); }
a();
return true;
