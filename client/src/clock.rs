//! Time on two clocks, because each of them may mislead.
//!
//! The wall clock goes on while a laptop sleeps, and can be set ahead or back; the steady clock is never set, and stands
//! still while a laptop sleeps. How long something has lasted is therefore the longer of what the two say: a clock that is
//! set back delays nothing, and sleep counts. A token that is taken for older than it is is renewed early, no more.

use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) wall: OffsetDateTime,
    pub(crate) steady: Instant,
}

impl Moment {
    /// The one place where renewals get their time from.
    pub(crate) fn now() -> Self {
        Self { wall: OffsetDateTime::now_utc(), steady: Instant::now() }
    }

    /// How long ago `earlier` was.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        let wall = Duration::try_from(self.wall - earlier.wall).unwrap_or_default();
        wall.max(self.steady.saturating_duration_since(earlier.steady))
    }
}

/// Something that began at a moment and lasts so long. Both ends of its length come from the controller's clock, so that
/// it does not matter by how much this computer's clock is wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Life {
    began: Moment,
    length: Duration,
}

impl Life {
    /// From two times of the controller, in seconds since 1970.
    pub(crate) fn new(began: Moment, issued: i64, expires: i64) -> Self {
        let secs = u64::try_from(expires.saturating_sub(issued)).unwrap_or(0);
        Self { began, length: Duration::from_secs(secs) }
    }

    /// What is left of it.
    pub(crate) fn left(self, now: Moment) -> Duration {
        self.length.saturating_sub(now.since(self.began))
    }

    /// How long before its end something is to be done about it: five minutes, or a third of it when that is shorter (D 4).
    pub(crate) fn window(self) -> Duration {
        RENEWAL_WINDOW.min(self.length / 3)
    }
}

const RENEWAL_WINDOW: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    /// So many seconds after `start` on the steady clock, with the wall clock off by so many.
    fn at(start: Moment, steady: u64, wall_off: i64) -> Moment {
        Moment {
            steady: start.steady + Duration::from_secs(steady),
            wall: start.wall + Duration::from_secs(steady) + time::Duration::seconds(wall_off),
        }
    }

    #[test]
    fn sleep_counts_and_a_clock_set_back_delays_nothing() {
        let start = Moment::now();
        let life = Life::new(start, 1_000, 1_600);
        assert_eq!(life.window(), Duration::from_secs(200));
        assert_eq!(life.left(at(start, 100, 0)), Duration::from_secs(500));
        // The lid was closed for five minutes.
        assert_eq!(life.left(at(start, 100, 300)), Duration::from_secs(200));
        // Somebody set the clock back by an hour.
        assert_eq!(life.left(at(start, 100, -3_600)), Duration::from_secs(500));
        // Somebody set it ahead by a day: renewed at once, and right again with what is received then.
        assert_eq!(life.left(at(start, 100, 86_400)), Duration::ZERO);
        let after = at(start, 100, 86_400);
        assert_eq!(Life::new(after, 1_100, 1_700).left(at(start, 200, 86_400)), Duration::from_secs(500));
    }

    #[test]
    fn the_window_is_five_minutes_or_a_third() {
        let start = Moment::now();
        assert_eq!(Life::new(start, 0, 86_400).window(), Duration::from_secs(300));
        assert_eq!(Life::new(start, 0, 600).window(), Duration::from_secs(200));
        assert_eq!(Life::new(start, 100, 50).left(start), Duration::ZERO);
    }
}
