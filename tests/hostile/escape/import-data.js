// expect: syntax or false or thrown or type
// Loads a module that stands in its own name.
import('data:text/javascript,export default 1').then(function () { console.log('loaded'); });
return false;
