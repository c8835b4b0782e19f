// True when the user typed the password in the last hour, or a one-time code in the last eight.
//
// Needs remedy: PasswordAuthentication with the claim suffix `recent`
// Needs remedy: OtpAuthentication with the claim suffix `recent`
// Needs schedule: 15m
//
// Set the condition's remedyLogic to `or`. Without a schedule nothing looks at the age again while access lasts.

return claims.user.hasOtp('recent', 8 * 60) || claims.user.hasPassword('recent', 60);
