// The ports to administer a machine by: remote desktop for people on Windows and macOS, SSH for everybody.
//
// Needs claim: device.os

const family = claims.device.os && claims.device.os.family;
if (family === 'windows' || family === 'macOS') {
  return ['22', '3389'];
}
return ['22'];
