// Groups of the user from any directory that speaks SCIM 2.0 (RFC 7644), as claims.user.agScripted.directoryGroups.
//
// Needs secret: SCIM_TOKEN
// Needs claim: user.username
// Calls: https://directory.example.com
//
// Set BASE to the SCIM service of your second directory.

const BASE = 'https://directory.example.com/scim/v2';
const MAX_GROUPS = 500;

if (!claims.user.username) {
  return {};
}

// Inside a filter a quotation mark would end the value; RFC 7644 writes values as JSON does.
const filter = 'userName eq ' + JSON.stringify(claims.user.username);
const url = BASE + '/Users?attributes=groups&count=2&filter=' + encodeURIComponent(filter);
const response = httpGet(url, [
  { key: 'Accept', value: 'application/scim+json' },
  { key: 'Authorization', value: 'Bearer %SECRET:SCIM_TOKEN%' }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('no groups from the directory: ' + (response ? response.statusCode : 'no answer'));
}

const users = JSON.parse(response.data).Resources || [];
if (users.length > 1) {
  throw new Error('the directory knows ' + users.length + ' users of this name');
}
if (users.length === 0) {
  return { directoryGroups: [] };
}
const groups = (users[0].groups || []).map(group => group.display || group.value).filter(name => name);
return { directoryGroups: groups.slice(0, MAX_GROUPS) };
