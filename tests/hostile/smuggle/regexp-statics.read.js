// expect: false
// Looks for that mark.
return RegExp.$1 === 'ma' || RegExp.lastMatch === 'mark' || RegExp.input === 'mark' || RegExp['$_'] === 'mark';
