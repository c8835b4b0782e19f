// expect: syntax or false or thrown or type
// Loads a module.
var loaded = false;
import('/etc/passwd').then(function () { loaded = true; console.log('loaded'); });
return loaded;
