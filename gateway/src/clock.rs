//! The gateway's one look at the clocks.

use std::time::Instant;

use engine::session::Moment;
use time::OffsetDateTime;

/// Tells the time on both clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { monotonic: self.start.elapsed(), wall: OffsetDateTime::now_utc() }
    }

    pub(crate) fn wall(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}
