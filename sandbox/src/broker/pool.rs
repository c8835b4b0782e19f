//! Connections that wait to be used again.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::exchange::Link;
use crate::secrets::Origin;

/// Idle connections, the oldest first.
#[derive(Default)]
pub(super) struct Pool(Mutex<VecDeque<Idle>>);

struct Idle {
    origin: Origin,
    since: Instant,
    link: Link,
}

impl Pool {
    /// A connection to `origin` that still stands; the one used last, since it is the likeliest to.
    pub(super) fn take(&self, origin: &Origin, now: Instant) -> Option<Link> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| now.saturating_duration_since(kept.since) < MAX_IDLE_TIME);
        while let Some(index) = idle.iter().rposition(|kept| kept.origin == *origin) {
            let mut kept = idle.remove(index)?;
            if kept.link.is_ready() {
                return Some(kept.link);
            }
        }
        None
    }

    /// Keeps a connection, if it can be used again.
    pub(super) fn keep(&self, origin: &Origin, mut link: Link, now: Instant) {
        if !link.is_ready() {
            return;
        }
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|kept| now.saturating_duration_since(kept.since) < MAX_IDLE_TIME);
        if idle.len() >= MAX_IDLE {
            idle.pop_front();
        }
        idle.push_back(Idle { origin: origin.clone(), since: now, link });
    }
}

/// Most idle connections, to all origins together; each is an open socket.
const MAX_IDLE: usize = 64;

/// Longest idle time; many servers close after 60 s or later.
const MAX_IDLE_TIME: Duration = Duration::from_secs(30);
