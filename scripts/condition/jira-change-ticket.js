// True while a change ticket in Jira Cloud is in progress and assigned to the user.
//
// Needs secret: JIRA_USER (the e-mail address of the account that asks)
// Needs secret: JIRA_API_TOKEN (of that account)
// Needs claim: user.emails
// Calls: https://example.atlassian.net
// Needs schedule: 5m
//
// Set SITE and PROJECT. Jira finds people by their address as far as their privacy settings let it.

const SITE = 'https://example.atlassian.net';
const PROJECT = 'CHG';
const STATUS = 'In Progress';

const email = claims.user.emails && claims.user.emails[0];
if (!email) {
  return false;
}

// JSON's quotation marks and backslashes are those of JQL.
const jql = 'project = ' + JSON.stringify(PROJECT) + ' AND status = ' + JSON.stringify(STATUS) +
  ' AND assignee = ' + JSON.stringify(email);
const url = SITE + '/rest/api/3/search/jql?maxResults=1&fields=key&jql=' + encodeURIComponent(jql);
const response = httpGet(url, [
  { key: 'Accept', value: 'application/json' },
  { key: 'Authorization', value: 'Basic ' + btoa('%SECRET:JIRA_USER%:%SECRET:JIRA_API_TOKEN%') }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('Jira answered ' + (response ? response.statusCode : 'nothing'));
}
const issues = JSON.parse(response.data).issues || [];
if (issues.length > 0) {
  console.log('works on ' + issues[0].key);
}
return issues.length > 0;
