// Groups of the user from Microsoft Graph, nested groups included, as claims.user.agScripted.graphGroups.
//
// Needs secret: GRAPH_CLIENT_SECRET (of an app registration with the application permissions User.Read.All and GroupMember.Read.All)
// Needs claim: user.username (the user principal name)
// Calls: https://login.microsoftonline.com
// Calls: https://graph.microsoft.com
//
// Set the two ids to those of your tenant and your app registration.
// The access token is kept in the appliance's cache until five minutes before it ends.
// When Graph does not answer in full the script fails and contributes nothing: a part of the groups could grant too much elsewhere.

const TENANT = '00000000-0000-0000-0000-000000000000';
const CLIENT = '11111111-1111-1111-1111-111111111111';
const GRAPH = 'https://graph.microsoft.com/v1.0';
const MAX_PAGES = 20;
const MAX_GROUPS = 2000;

function accessToken() {
  const cached = cache.getIfPresent('graph-token:' + TENANT);
  if (cached) {
    return cached;
  }
  const form = 'grant_type=client_credentials&client_id=' + CLIENT +
    '&scope=' + encodeURIComponent('https://graph.microsoft.com/.default') +
    '&client_secret=' + encodeURIComponent('%SECRET:GRAPH_CLIENT_SECRET%');
  const url = 'https://login.microsoftonline.com/' + TENANT + '/oauth2/v2.0/token';
  const response = httpPost(url, form, 'application/x-www-form-urlencoded');
  if (!response || response.statusCode !== 200) {
    throw new Error('no token from Entra ID: ' + (response ? response.statusCode : 'no answer'));
  }
  const answer = JSON.parse(response.data);
  cache.put('graph-token:' + TENANT, answer.access_token, answer.expires_in - 300);
  return answer.access_token;
}

function page(url, token) {
  const response = httpGet(url, [{ key: 'Authorization', value: 'Bearer ' + token }]);
  if (!response || response.statusCode !== 200) {
    throw new Error('no groups from Graph: ' + (response ? response.statusCode : 'no answer'));
  }
  return JSON.parse(response.data);
}

if (!claims.user.username) {
  return {};
}

const token = accessToken();
const groups = [];
let url = GRAPH + '/users/' + encodeURIComponent(claims.user.username) +
  '/transitiveMemberOf?$select=id,displayName&$top=999';
for (let pages = 0; url; pages++) {
  // The token goes to Graph and nowhere else, whatever a link says.
  if (pages === MAX_PAGES || !url.startsWith(GRAPH + '/')) {
    throw new Error('the list of groups goes on for too long or elsewhere');
  }
  const answer = page(url, token);
  for (const entry of answer.value) {
    // Directory roles and administrative units stand in the same list.
    if (entry['@odata.type'] === '#microsoft.graph.group' && entry.displayName) {
      groups.push(entry.displayName);
    }
  }
  url = answer['@odata.nextLink'];
}
return { graphGroups: groups.slice(0, MAX_GROUPS) };
