// True while the user is within a distance of one of our places.
//
// Needs claim: system.geoIp
// Needs schedule: 1h
//
// Set PLACES. Addresses are placed roughly: choose a radius well above the size of a city.

const PLACES = [
  { name: 'Munich', latitude: 48.14, longitude: 11.58, kilometres: 150 },
  { name: 'Lyon', latitude: 45.76, longitude: 4.84, kilometres: 150 }
];

function kilometres(from, to) {
  const radians = degrees => degrees * Math.PI / 180;
  const latitude = radians(to.latitude - from.latitude);
  const longitude = radians(to.longitude - from.longitude);
  const half = Math.sin(latitude / 2) * Math.sin(latitude / 2) +
    Math.cos(radians(from.latitude)) * Math.cos(radians(to.latitude)) *
    Math.sin(longitude / 2) * Math.sin(longitude / 2);
  return 2 * 6371 * Math.asin(Math.min(1, Math.sqrt(half)));
}

const here = claims.system.geoIp;
if (!here || typeof here.latitude !== 'number' || typeof here.longitude !== 'number') {
  return false;
}
const near = PLACES.find(place => kilometres(place, here) <= place.kilometres);
if (near) {
  console.log('near ' + near.name);
}
return near !== undefined;
