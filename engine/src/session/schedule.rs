//! When a condition is asked again without any other cause (D 13).

use std::time::Duration;

use time::{OffsetDateTime, UtcOffset};

use crate::object::Schedule;

const DAY: i128 = 24 * 60 * 60 * 1_000_000_000;

/// The first moment after `now` at which one of the schedules is due; none when there are none.
///
/// Both forms are aligned to the clock in UTC: `15m` at 12:07 means 12:15, and a time of day means today or tomorrow.
pub(super) fn next(schedules: &[Schedule], now: OffsetDateTime) -> Option<OffsetDateTime> {
    schedules.iter().filter_map(|schedule| next_of(*schedule, now)).min()
}

fn next_of(schedule: Schedule, now: OffsetDateTime) -> Option<OffsetDateTime> {
    let (period, offset) = match schedule {
        Schedule::Every(interval) => (nanos(interval), 0),
        Schedule::DailyAt(since_midnight) => (DAY, nanos(since_midnight)),
    };
    if period <= 0 {
        return None;
    }
    // A Unix day has no leap seconds, so days and all intervals that divide them begin at multiples.
    let since_last = (now.unix_timestamp_nanos() - offset).rem_euclid(period);
    let due = now.unix_timestamp_nanos() - since_last + period;
    OffsetDateTime::from_unix_timestamp_nanos(due).ok().map(|due| due.to_offset(UtcOffset::UTC))
}

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX)
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn every(minutes: u64) -> Schedule {
        Schedule::Every(Duration::from_secs(minutes * 60))
    }

    fn daily(hour: u64, minute: u64) -> Schedule {
        Schedule::DailyAt(Duration::from_secs((hour * 60 + minute) * 60))
    }

    #[test]
    fn intervals_are_aligned_to_the_clock() {
        let now = datetime!(2026-01-05 12:07:30.5 UTC);
        assert_eq!(next(&[every(15)], now), Some(datetime!(2026-01-05 12:15 UTC)));
        assert_eq!(next(&[every(1)], now), Some(datetime!(2026-01-05 12:08 UTC)));
        assert_eq!(next(&[every(60)], datetime!(2026-01-05 23:00 UTC)), Some(datetime!(2026-01-06 0:00 UTC)));
    }

    #[test]
    fn a_time_of_day_is_today_or_tomorrow() {
        assert_eq!(next(&[daily(13, 32)], datetime!(2026-01-05 13:31:59 UTC)), Some(datetime!(2026-01-05 13:32 UTC)));
        assert_eq!(next(&[daily(13, 32)], datetime!(2026-01-05 13:32 UTC)), Some(datetime!(2026-01-06 13:32 UTC)));
        assert_eq!(
            next(&[daily(1, 0)], datetime!(2026-01-05 23:30 +2)),
            Some(datetime!(2026-01-06 1:00 UTC)),
            "whatever offset the clock is shown in"
        );
    }

    #[test]
    fn the_first_of_several_counts() {
        let now = datetime!(2026-01-05 12:07 UTC);
        assert_eq!(next(&[every(60), daily(12, 30), every(15)], now), Some(datetime!(2026-01-05 12:15 UTC)));
        assert_eq!(next(&[], now), None);
    }
}
