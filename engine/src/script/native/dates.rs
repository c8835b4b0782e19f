//! Days and times of day in UTC, by the [proleptic Gregorian calendar](https://tc39.es/ecma262/#sec-date-objects).

use super::texts::whole;

const DAY: i64 = 86_400_000;

/// A time taken apart.
pub(super) struct Parts {
    pub(super) year: i64,
    /// January is 0.
    pub(super) month: i64,
    pub(super) day: i64,
    /// Sunday is 0.
    pub(super) weekday: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
    pub(super) millisecond: i64,
}

/// The parts of a time in milliseconds since 1970; none beyond what a date can be.
pub(super) fn parts(time: f64) -> Option<Parts> {
    let time = whole(time).filter(|time| time.abs() <= 8_640_000_000_000_000)?;
    let (days, rest) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    let (year, month, day) = civil(days);
    Some(Parts {
        year,
        month: month - 1,
        day,
        weekday: (days + 4).rem_euclid(7),
        hour: rest / 3_600_000,
        minute: rest / 60_000 % 60,
        second: rest / 1000 % 60,
        millisecond: rest % 1000,
    })
}

/// The time that a text in the form `2026-01-05`, `2026-01-05T09:00:00Z` or `2026-01-05T09:00:00.000Z` says; none for any other.
pub(super) fn parse(text: &str) -> Option<f64> {
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut fields = date.split('-');
    let (year, month, day) = (digits(fields.next()?, 4)?, digits(fields.next()?, 2)?, digits(fields.next()?, 2)?);
    let valid = fields.next().is_none() && (1..=12).contains(&month) && (1..=28).contains(&day);
    // Days that only some months have are left to the engine that scripts else run in.
    if !valid || year < 1000 {
        return None;
    }
    let within = time.map_or(Some(0), time_of_day)?;
    #[expect(clippy::cast_precision_loss, reason = "years have four digits, so the number is below 2^53")]
    Some((days(year, month, day) * DAY + within) as f64)
}

fn time_of_day(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z')?;
    let (clock, millisecond) = match text.split_once('.') {
        Some((clock, rest)) => (clock, digits(rest, 3)?),
        None => (text, 0),
    };
    let mut fields = clock.split(':');
    let (hour, minute, second) = (digits(fields.next()?, 2)?, digits(fields.next()?, 2)?, digits(fields.next()?, 2)?);
    let valid = fields.next().is_none() && hour < 24 && minute < 60 && second < 60;
    valid.then_some(((hour * 60 + minute) * 60 + second) * 1000 + millisecond)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days from 1970 to a date; months count from 1.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date so many days after 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}
