// Whether the user is a contractor whose contract still runs.
//
// Needs claim: user.labels (with `contractUntil`: the last day, such as 2026-06-30)
//
// The last day counts in full, in UTC.

const until = claims.user.labels && claims.user.labels.contractUntil;
if (typeof until !== 'string' || !/^\d{4}-\d{2}-\d{2}$/.test(until)) {
  return false;
}
// A date that does not exist is no number, and no comparison with it is true.
return Date.now() < Date.parse(until + 'T00:00:00Z') + 86400000;
