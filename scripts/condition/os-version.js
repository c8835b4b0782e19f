// True when the operating system is of a supported version.
//
// Needs claim: device.os
// Needs claim: device.osVersion (text of a device script, such as 10.0.22631; see below)
//
// Device scripts that print it: Windows `[Environment]::OSVersion.Version.ToString()`, macOS `sw_vers -productVersion`,
// Linux `. /etc/os-release; echo $VERSION_ID`. The device reports it about itself: it keeps honest devices current, no more.

const MINIMUM = {
  windows: [10, 0, 22631],
  macOS: [14, 4],
  linux: [22, 4]
};

const family = claims.device.os && claims.device.os.family;
const minimum = Object.keys(MINIMUM).indexOf(family) >= 0 ? MINIMUM[family] : undefined;
if (!minimum || typeof claims.device.osVersion !== 'string') {
  return false;
}

const parts = claims.device.osVersion.trim().split('.').map(part => parseInt(part, 10));
for (let i = 0; i < minimum.length; i++) {
  const part = i < parts.length ? parts[i] : 0;
  // What is no number is not compared but refused.
  if (isNaN(part) || part < minimum[i]) {
    return false;
  }
  if (part > minimum[i]) {
    return true;
  }
}
return true;
