// Assigns the policy when THIS is the site nearest to the user: make one policy per site, each with its own THIS.
//
// Needs claim: system.geoIp
//
// Users whose place is unknown get the first site of the list.

const THIS = 'frankfurt';
const SITES = [
  { name: 'frankfurt', latitude: 50.11, longitude: 8.68 },
  { name: 'virginia', latitude: 39.04, longitude: -77.49 },
  { name: 'singapore', latitude: 1.35, longitude: 103.82 }
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
  return THIS === SITES[0].name;
}
const nearest = SITES.reduce((best, site) => kilometres(site, here) < kilometres(best, here) ? site : best);
return nearest.name === THIS;
