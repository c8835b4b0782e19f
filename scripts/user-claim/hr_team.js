// Team, cost centre and employment status from the personnel system, as claims.user.agScripted.team, .costCentre and .employed.
//
// Needs secret: HR_API_KEY
// Needs claim: user.emails
// Calls: https://hr.example.com
//
// Expects GET /api/employees?email=... to answer {"employees": [{"team", "costCentre", "status"}]}.
// Adapt the last lines to what your system answers.

const HR = 'https://hr.example.com';

const email = claims.user.emails && claims.user.emails[0];
if (!email) {
  return {};
}

const response = httpGet(HR + '/api/employees?email=' + encodeURIComponent(email), [
  { key: 'X-API-Key', value: '%SECRET:HR_API_KEY%' }
], 2000);
if (!response || response.statusCode !== 200) {
  throw new Error('the personnel system answered ' + (response ? response.statusCode : 'nothing'));
}

const employees = JSON.parse(response.data).employees || [];
const employee = employees[0];
if (employees.length !== 1 || !employee) {
  return { employed: false };
}
return {
  team: employee.team || '',
  costCentre: employee.costCentre || '',
  employed: employee.status === 'active'
};
