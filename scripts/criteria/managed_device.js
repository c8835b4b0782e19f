// Whether the device is one we manage: its serial number is enrolled and its user is no administrator.
//
// Needs claim: device.isUserAdmin
// Needs claim: device.serialNumber (text of a device script)
// Needs claim: user.labels (with `devices`: serial numbers of the user's devices, separated by commas)

const serial = typeof claims.device.serialNumber === 'string' ? claims.device.serialNumber.trim() : '';
const devices = claims.user.labels && claims.user.labels.devices;
if (serial === '' || typeof devices !== 'string') {
  return false;
}
const enrolled = devices.split(',').map(device => device.trim()).indexOf(serial) >= 0;
return enrolled && claims.device.isUserAdmin === false;
