// True when every disk of the device is encrypted.
//
// Needs claim: device.diskEncryption (JSON text of a device script, see below)
// Needs schedule: 1h
//
// The device script prints {"volumes": [{"name": "C:", "encrypted": true}]}, for example from `Get-BitLockerVolume`,
// `fdesetup status` or `lsblk --json -o NAME,TYPE`. Print the same text for the same state, since a change renews the session.

const EXEMPT = ['recovery'];

if (!claims.device.diskEncryption) {
  return false;
}
let report;
try {
  report = JSON.parse(claims.device.diskEncryption);
} catch (error) {
  console.log('the report about disks is no JSON');
  return false;
}
const volumes = report && Array.isArray(report.volumes) ? report.volumes : [];
const counted = volumes.filter(volume => volume && EXEMPT.indexOf(volume.name) < 0);
const open = counted.filter(volume => volume.encrypted !== true);
if (open.length > 0) {
  console.log('not encrypted: ' + open.map(volume => volume.name).join(', '));
}
return counted.length > 0 && open.length === 0;
