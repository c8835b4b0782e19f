//! An end that no clock that is set back delays.

use std::time::Duration;

use time::OffsetDateTime;

use super::Moment;

/// A moment of the wall clock, kept on both clocks: whichever gets there first. Sleep counts on the wall clock only, and a
/// wall clock that is set back counts on the monotonic one only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deadline {
    wall: OffsetDateTime,
    monotonic: Duration,
}

impl Deadline {
    /// The moment `wall`, seen from `now`.
    pub fn new(wall: OffsetDateTime, now: Moment) -> Self {
        let left = Duration::try_from(wall - now.wall).unwrap_or_default();
        Self { wall, monotonic: now.monotonic.saturating_add(left) }
    }

    pub fn is_over(&self, now: Moment) -> bool {
        now.wall >= self.wall || now.monotonic >= self.monotonic
    }

    pub fn wall(&self) -> OffsetDateTime {
        self.wall
    }

    pub fn monotonic(&self) -> Duration {
        self.monotonic
    }
}
