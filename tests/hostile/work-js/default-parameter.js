// expect: instructions or timeout
// Works while the arguments are being bound.
(function (a = (function () { for (;;); })()) { })();
return true;
