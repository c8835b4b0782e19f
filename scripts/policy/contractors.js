// Assigns the policy to contractors while their contract runs and the personnel system says they are employed.
//
// Needs criteria scripts: contractor_until
// Needs claim: user.agScripted (of the user-claim script hr_team)

const scripted = claims.user.agScripted || {};
return contractor_until(claims) && scripted.employed === true;
