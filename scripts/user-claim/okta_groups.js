// Groups of the user from Okta, as claims.user.agScripted.oktaGroups.
//
// Needs secret: OKTA_API_TOKEN (of a read-only administrator)
// Needs claim: user.username (the Okta login)
// Calls: https://example.okta.com
//
// Set ORG to your Okta domain.
// The answer is kept in the appliance's cache for five minutes, because Okta limits calls per minute.

const ORG = 'https://example.okta.com';
const MAX_GROUPS = 500;

if (!claims.user.username) {
  return {};
}

const key = 'okta-groups:' + claims.user.username;
const cached = cache.getIfPresent(key);
if (cached) {
  return { oktaGroups: cached };
}

const url = ORG + '/api/v1/users/' + encodeURIComponent(claims.user.username) + '/groups';
const response = httpGet(url, [
  { key: 'Accept', value: 'application/json' },
  { key: 'Authorization', value: 'SSWS %SECRET:OKTA_API_TOKEN%' }
]);
if (!response) {
  throw new Error('Okta did not answer');
}
if (response.statusCode === 404) {
  // Somebody whom Okta does not know has no groups there.
  return { oktaGroups: [] };
}
if (response.statusCode !== 200) {
  throw new Error('Okta answered ' + response.statusCode);
}

const groups = JSON.parse(response.data)
  .map(group => group.profile && group.profile.name)
  .filter(name => name && name !== 'Everyone')
  .slice(0, MAX_GROUPS);
cache.put(key, groups, 300);
return { oktaGroups: groups };
