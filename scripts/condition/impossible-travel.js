// False when the user seems to have moved faster than an airliner since the last check.
//
// Needs claim: user.username
// Needs claim: system.geoIp
// Needs schedule: 5m
//
// The last place is kept in the appliance's cache for a day, so each gateway judges by what it saw itself.
// A place that is refused is not remembered: who stays there stays refused until the time passed makes the journey possible.

const MAX_KILOMETRES_PER_HOUR = 900;
// Addresses are placed roughly, so a short jump proves nothing.
const NEARBY_KILOMETRES = 100;

function kilometres(from, to) {
  const radians = degrees => degrees * Math.PI / 180;
  const latitude = radians(to.latitude - from.latitude);
  const longitude = radians(to.longitude - from.longitude);
  const half = Math.sin(latitude / 2) * Math.sin(latitude / 2) +
    Math.cos(radians(from.latitude)) * Math.cos(radians(to.latitude)) *
    Math.sin(longitude / 2) * Math.sin(longitude / 2);
  return 2 * 6371 * Math.asin(Math.min(1, Math.sqrt(half)));
}

const place = claims.system.geoIp;
if (!claims.user.username || !place || typeof place.latitude !== 'number' || typeof place.longitude !== 'number') {
  return false;
}

const key = 'last-place:' + claims.user.username;
const last = cache.getIfPresent(key);
const now = Date.now();
if (last) {
  const distance = kilometres(last, place);
  const hours = (now - last.at) / 3600000;
  if (distance > NEARBY_KILOMETRES && distance > hours * MAX_KILOMETRES_PER_HOUR) {
    auditLog('impossible travel of ' + claims.user.username + ': ' + Math.round(distance) + ' km');
    return false;
  }
}
cache.put(key, { latitude: place.latitude, longitude: place.longitude, at: now }, 86400);
return true;
