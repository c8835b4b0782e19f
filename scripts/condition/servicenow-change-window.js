// True while a change request in ServiceNow is being implemented by the user and its window is open.
//
// Needs secret: SERVICENOW_USER
// Needs secret: SERVICENOW_PASSWORD
// Needs claim: user.emails
// Calls: https://example.service-now.com
// Needs schedule: 5m
//
// Set INSTANCE. State -1 is `Implement` in the change process that ServiceNow ships.

const INSTANCE = 'https://example.service-now.com';

const email = claims.user.emails && claims.user.emails[0];
// A caret separates the parts of an encoded query, so an address with one would add parts of its own.
if (!email || email.indexOf('^') >= 0) {
  return false;
}

// The standing clock of the run; ServiceNow compares in UTC in this form.
const now = new Date().toISOString().slice(0, 19).split('T').join(' ');
const query = 'state=-1^active=true^assigned_to.email=' + email + '^start_date<=' + now + '^end_date>=' + now;
const url = INSTANCE + '/api/now/table/change_request?sysparm_limit=1&sysparm_fields=number&sysparm_query=' +
  encodeURIComponent(query);
const response = httpGet(url, [
  { key: 'Accept', value: 'application/json' },
  { key: 'Authorization', value: 'Basic ' + btoa('%SECRET:SERVICENOW_USER%:%SECRET:SERVICENOW_PASSWORD%') }
]);
if (!response || response.statusCode !== 200) {
  throw new Error('ServiceNow answered ' + (response ? response.statusCode : 'nothing'));
}
const changes = JSON.parse(response.data).result || [];
return changes.length > 0;
