// Addresses of the active virtual machines that NetBox tags with the user's team.
//
// Needs secret: NETBOX_TOKEN
// Needs claim: user.agScripted (with `team`, for example of the user-claim script hr_team)
// Calls: https://netbox.example.com
//
// Set BASE. A machine is tagged `team-NAME`. The list is kept in the appliance's cache for five minutes.

const BASE = 'https://netbox.example.com';
const MAX_HOSTS = 200;

const team = claims.user.agScripted && claims.user.agScripted.team;
if (!team) {
  return [];
}

const key = 'netbox-hosts:' + team;
const cached = cache.getIfPresent(key);
if (cached) {
  return cached.slice(0, MAX_HOSTS);
}

const url = BASE + '/api/virtualization/virtual-machines/?status=active&limit=' + MAX_HOSTS +
  '&tag=' + encodeURIComponent('team-' + team);
const response = httpGet(url, [
  { key: 'Accept', value: 'application/json' },
  { key: 'Authorization', value: 'Token %SECRET:NETBOX_TOKEN%' }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('NetBox answered ' + (response ? response.statusCode : 'nothing'));
}
const machines = JSON.parse(response.data).results || [];
// Addresses come with the length of their network, as in 10.0.4.7/24; without it they mean one machine.
const hosts = machines
  .filter(machine => machine.primary_ip4 && machine.primary_ip4.address)
  .map(machine => machine.primary_ip4.address.split('/')[0]);
cache.put(key, hosts, 300);
return hosts.slice(0, MAX_HOSTS);
