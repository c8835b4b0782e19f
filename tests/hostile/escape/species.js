// expect: type or false or wrong-result
// Makes list methods hand out something else.
class Odd extends Array { static get [Symbol.species]() { return function () { return { length: 0 }; }; } }
var r = Odd.from([1, 2]).map(function (x) { return x; });
return r === true;
