//! How long ago a controller was last heard, and what the Site makes of it.
//!
//! Without a controller no revocation arrives, so a Site may bound how long its gateways go on (design 1.7). The time
//! survives a restart of the gateway: what counts is when a controller spoke, not when this process began.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use engine::{object::Site, session::Moment};
use time::OffsetDateTime;

/// When a controller was last heard.
pub(crate) struct Contact {
    /// Milliseconds of the monotonic clock; negative for a time before this process.
    heard: AtomicI64,
    wall: Mutex<Option<OffsetDateTime>>,
}

impl Contact {
    /// Takes in when a controller was heard before this process began, by the wall clock.
    pub(crate) fn new(before: Option<OffsetDateTime>, now: Moment) -> Self {
        let silent =
            before.map_or(i64::MAX / 2, |before| millis((now.wall - before).max(time::Duration::ZERO).unsigned_abs()));
        Self { heard: AtomicI64::new(millis(now.monotonic) - silent), wall: Mutex::new(before) }
    }

    /// A controller spoke.
    pub(crate) fn hear(&self, now: Moment) {
        self.heard.store(millis(now.monotonic), Ordering::Relaxed);
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner) = Some(now.wall);
    }

    /// When a controller spoke last, by the wall clock.
    pub(crate) fn last(&self) -> Option<OffsetDateTime> {
        *self.wall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For how long none has spoken, by the clock on which it is longer: the monotonic clock stands still while a machine
    /// sleeps, and the wall clock may be set back.
    pub(crate) fn silent_for(&self, now: Moment) -> Duration {
        let awake = millis(now.monotonic) - self.heard.load(Ordering::Relaxed);
        let awake = Duration::from_millis(awake.try_into().unwrap_or(0));
        let by_wall = self.last().and_then(|heard| Duration::try_from(now.wall - heard).ok());
        awake.max(by_wall.unwrap_or_default())
    }

    /// Whether the Site lets its gateways take in sessions now.
    pub(crate) fn may_admit(&self, site: &Site, now: Moment) -> bool {
        site.admit_without_controller.is_none_or(|bound| self.silent_for(now) <= bound)
    }

    /// How long sessions may still be kept; `None` for as long as their tokens live.
    pub(crate) fn may_keep_for(&self, site: &Site, now: Moment) -> Option<Duration> {
        site.keep_without_controller.map(|bound| bound.saturating_sub(self.silent_for(now)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(bound: Option<u64>) -> Site {
        let bound = bound.map(Duration::from_secs);
        Site {
            id: engine::id::SiteId::new(uuid::Uuid::nil()),
            name: "x".to_owned(),
            use_hosts_file: false,
            dns_resolvers: Vec::new(),
            admit_without_controller: bound,
            keep_without_controller: bound,
        }
    }

    fn at(secs: u64) -> Moment {
        let wall = OffsetDateTime::UNIX_EPOCH + Duration::from_secs(1_000_000 + secs);
        Moment { monotonic: Duration::from_secs(secs), wall }
    }

    #[test]
    fn silence_counts_from_the_last_word_even_across_a_restart() {
        let contact = Contact::new(Some(at(0).wall - Duration::from_secs(50)), at(0));
        assert!(contact.may_admit(&site(Some(60)), at(10)));
        assert!(!contact.may_admit(&site(Some(60)), at(11)));
        assert_eq!(contact.may_keep_for(&site(Some(60)), at(4)), Some(Duration::from_secs(6)));
        contact.hear(at(11));
        assert!(contact.may_admit(&site(Some(60)), at(71)));
        assert!(contact.may_admit(&site(None), at(9_999_999)));
    }

    #[test]
    fn a_machine_that_slept_was_silent_meanwhile_and_a_clock_set_back_hides_nothing() {
        let contact = Contact::new(None, at(0));
        contact.hear(at(10));
        let slept = Moment { wall: at(10 + 3_600).wall, ..at(15) };
        assert!(!contact.may_admit(&site(Some(60)), slept));
        assert_eq!(contact.may_keep_for(&site(Some(60)), slept), Some(Duration::ZERO));
        let set_back = Moment { wall: at(10).wall - Duration::from_secs(3_600), ..at(80) };
        assert!(!contact.may_admit(&site(Some(60)), set_back));
        contact.hear(set_back);
        assert!(contact.may_admit(&site(Some(60)), Moment { wall: set_back.wall, ..at(140) }));
    }

    #[test]
    fn a_gateway_that_never_heard_a_controller_has_been_silent_for_ever() {
        assert!(!Contact::new(None, at(0)).may_admit(&site(Some(86_400 * 365)), at(0)));
    }
}
