// Servers that the user's team supports, from the ServiceNow CMDB.
//
// Needs secret: SERVICENOW_USER
// Needs secret: SERVICENOW_PASSWORD
// Needs claim: user.agScripted (with `team`, for example of the user-claim script hr_team)
// Calls: https://example.service-now.com
//
// Set INSTANCE. operational_status 1 is `Operational`. The list is kept in the appliance's cache for ten minutes.

const INSTANCE = 'https://example.service-now.com';
const MAX_HOSTS = 200;

const team = claims.user.agScripted && claims.user.agScripted.team;
// A caret separates the parts of an encoded query, so a team with one would add parts of its own.
if (!team || team.indexOf('^') >= 0) {
  return [];
}

const key = 'cmdb-hosts:' + team;
const cached = cache.getIfPresent(key);
if (cached) {
  return cached.slice(0, MAX_HOSTS);
}

const query = 'operational_status=1^support_group.name=' + team;
const url = INSTANCE + '/api/now/table/cmdb_ci_server?sysparm_fields=fqdn,ip_address&sysparm_limit=' + MAX_HOSTS +
  '&sysparm_query=' + encodeURIComponent(query);
const response = httpGet(url, [
  { key: 'Accept', value: 'application/json' },
  { key: 'Authorization', value: 'Basic ' + btoa('%SECRET:SERVICENOW_USER%:%SECRET:SERVICENOW_PASSWORD%') }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('the CMDB answered ' + (response ? response.statusCode : 'nothing'));
}
const servers = JSON.parse(response.data).result || [];
const hosts = servers.map(server => server.fqdn || server.ip_address).filter(host => host);
cache.put(key, hosts, 600);
return hosts.slice(0, MAX_HOSTS);
