// True when an antivirus program protects the device and its signatures are recent.
//
// Needs claim: device.antivirus (JSON text of a device script, see below)
// Needs schedule: 1h
//
// The device script prints {"products": [{"name": "Defender", "enabled": true, "signatures": "2026-01-04"}]}, on Windows for example
// from `Get-MpComputerStatus`. Print the date without the time, so that the text changes once a day at most.

const MAX_AGE_DAYS = 7;

if (!claims.device.antivirus) {
  return false;
}
let report;
try {
  report = JSON.parse(claims.device.antivirus);
} catch (error) {
  console.log('the report about antivirus programs is no JSON');
  return false;
}
const products = report && Array.isArray(report.products) ? report.products : [];
return products.some(product => {
  if (!product || product.enabled !== true || typeof product.signatures !== 'string') {
    return false;
  }
  const age = Date.now() - Date.parse(product.signatures);
  // A date that is none or lies ahead makes no comparison true.
  return age >= -86400000 && age <= MAX_AGE_DAYS * 86400000;
});
