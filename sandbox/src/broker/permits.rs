//! How many calls there are at once: in all, and to one origin. Who waits here waits on the time of the call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::secrets::Origin;

/// The bounds and who is within them.
pub(super) struct Permits {
    all: Arc<Semaphore>,
    /// Calls that are on their way or wait for a permit.
    present: Arc<Semaphore>,
    per_origin: usize,
    origins: Mutex<HashMap<Origin, Arc<Semaphore>>>,
}

impl Permits {
    pub(super) fn new(all: usize, per_origin: usize) -> Self {
        let all = all.clamp(1, Semaphore::MAX_PERMITS / WAITING_PER_PERMIT);
        Self {
            all: Arc::new(Semaphore::new(all)),
            present: Arc::new(Semaphore::new(all * WAITING_PER_PERMIT)),
            per_origin: per_origin.clamp(1, all),
            origins: Mutex::default(),
        }
    }

    /// Waits for a place; none when too many wait already.
    pub(super) async fn acquire(&self, origin: &Origin) -> Option<Permit<'_>> {
        let present = Arc::clone(&self.present).try_acquire_owned().ok()?;
        let place = self.place(origin);
        // The origin's first: who waits for a slow origin must not hold what others could use.
        let at_origin = Arc::clone(&place.semaphore).acquire_owned().await.ok()?;
        let in_all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Permit { _held: [at_origin, in_all, present], _place: place })
    }

    fn place(&self, origin: &Origin) -> Place<'_> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let semaphore =
            origins.entry(origin.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.per_origin))).clone();
        Place { permits: self, origin: origin.clone(), semaphore }
    }
}

/// The right to make one call, given back when dropped.
pub(super) struct Permit<'a> {
    // INVARIANT: dropped before the place, which counts who still holds the origin's semaphore.
    _held: [OwnedSemaphorePermit; 3],
    _place: Place<'a>,
}

/// Somebody who calls an origin or waits to; the last one to leave takes the origin's semaphore along.
struct Place<'a> {
    permits: &'a Permits,
    origin: Origin,
    semaphore: Arc<Semaphore>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut origins = self.permits.origins.lock().unwrap_or_else(PoisonError::into_inner);
        // The map's and ours.
        if Arc::strong_count(&self.semaphore) <= 2 {
            origins.remove(&self.origin);
        }
    }
}

/// Calls that may be here, waiting ones included, for each that may be on its way.
const WAITING_PER_PERMIT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(host: &str) -> Origin {
        Origin::parse(&format!("https://{host}")).unwrap()
    }

    #[tokio::test]
    async fn one_origin_cannot_take_what_others_need() {
        let permits = Permits::new(3, 2);
        let (a, b) = (origin("a.example"), origin("b.example"));
        let first = permits.acquire(&a).await.unwrap();
        let _second = permits.acquire(&a).await.unwrap();
        let mut third = Box::pin(permits.acquire(&a));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(third.as_mut().poll(&mut context).is_pending());
        let _other = permits.acquire(&b).await.unwrap();
        drop(first);
        assert!(third.await.is_some());
    }

    #[tokio::test]
    async fn origins_are_forgotten_and_waiting_is_bounded() {
        let permits = Permits::new(1, 1);
        let a = origin("a.example");
        let held = permits.acquire(&a).await.unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(permits.acquire(&a))).collect();
        for wait in &mut waiting {
            assert!(wait.as_mut().poll(&mut context).is_pending());
        }
        assert!(permits.acquire(&a).await.is_none());
        drop(waiting);
        drop(held);
        assert!(permits.origins.lock().unwrap().is_empty());
        assert!(permits.acquire(&a).await.is_some());
    }
}
