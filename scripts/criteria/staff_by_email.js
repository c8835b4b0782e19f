// Whether the user has an address of one of our domains.
//
// Needs claim: user.emails

const DOMAINS = ['example.com', 'example.org'];

const emails = claims.user.emails || [];
return emails.some(email => {
  const parts = String(email).toLowerCase().split('@');
  return parts.length === 2 && parts[0] !== '' && DOMAINS.indexOf(parts[1]) >= 0;
});
