// True on working days between 07:00 and 19:00 local time; at other times after the user gave a reason in the last hour.
//
// Needs schedule: 15m
// Needs remedy: Reason with the claim suffix `after-hours`
//
// Clocks of scripts are in UTC. Set OFFSET_HOURS to what your clocks are ahead; it does not know daylight saving time.

const OFFSET_HOURS = 1;
const OPENS = 7;
const CLOSES = 19;

const local = new Date(Date.now() + OFFSET_HOURS * 3600000);
const day = local.getUTCDay();
const hour = local.getUTCHours();
const isWorkingDay = day >= 1 && day <= 5;
if (isWorkingDay && hour >= OPENS && hour < CLOSES) {
  return true;
}
return claims.user.hasReason('after-hours', 60);
