// expect: syntax or timeout or instructions or thrown or crash
// Sorts within the comparator of a sort.
function deeper() { return [3, 1, 2].sort(function () { deeper(); return 0; }).length; }
return deeper() === 3;
