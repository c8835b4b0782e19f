// expect: syntax
// Swallows the end of the wrapper in a template.
return true; `
