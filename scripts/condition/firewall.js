// True when the device's own firewall is on, in every profile where the device script tells profiles apart.
//
// Needs claim: device.isFirewallEnabled
// Needs claim: device.firewall (optional: JSON text of a device script, {"domain": true, "private": true, "public": true})
// Needs schedule: 15m

if (claims.device.isFirewallEnabled !== true) {
  return false;
}
if (!claims.device.firewall) {
  return true;
}
let profiles;
try {
  profiles = JSON.parse(claims.device.firewall);
} catch (error) {
  console.log('the report about the firewall is no JSON');
  return false;
}
if (!profiles || typeof profiles !== 'object') {
  return false;
}
const off = Object.keys(profiles).filter(name => profiles[name] !== true);
if (off.length > 0) {
  console.log('off for: ' + off.join(', '));
}
return off.length === 0;
