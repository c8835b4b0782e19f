//! Places for runs that wait for HTTP: a bounded number, and of those at most so many for one script and for one subject.
//!
//! A crowd of slow scripts queues here, in front of the workers, where it costs nobody else anything.
//! INVARIANT: places are waited for in one order (subject, script, all), so waiting cannot come full circle.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};
use tokio::time::timeout;

use super::facts::SourceHash;
use super::nursery::Order;
use crate::config::SandboxConfig;

/// The places and who waits for one.
pub(super) struct Parking {
    shared: Arc<Shared>,
    all: Arc<Semaphore>,
    waiting: AtomicUsize,
    limits: Limits,
}

struct Limits {
    queue: usize,
    wait: std::time::Duration,
    per_script: usize,
    per_subject: usize,
}

struct Shared {
    taken: AtomicUsize,
    quotas: Mutex<Quotas>,
    orders: Sender<Order>,
}

#[derive(Default)]
struct Quotas {
    scripts: HashMap<SourceHash, Arc<Semaphore>>,
    subjects: HashMap<Arc<str>, Arc<Semaphore>>,
}

impl Parking {
    pub(super) fn new(config: &SandboxConfig, orders: Sender<Order>) -> Self {
        let shared = Shared { taken: AtomicUsize::new(0), quotas: Mutex::new(Quotas::default()), orders };
        Self {
            shared: Arc::new(shared),
            all: Arc::new(Semaphore::new(config.parked.max(1))),
            waiting: AtomicUsize::new(0),
            limits: Limits {
                queue: config.queue,
                wait: config.parked_wait,
                per_script: config.parked_per_script.max(1),
                per_subject: config.parked_per_subject.max(1),
            },
        }
    }

    /// Places in use.
    pub(super) fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::Relaxed)
    }

    /// Waits for a place; nothing when too many wait already or it takes too long.
    pub(super) async fn place(&self, script: SourceHash, subject: &Arc<str>) -> Option<Place> {
        if let Some(place) = self.try_place(script, subject) {
            return Some(place);
        }
        let _waiter = Waiter(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.limits.queue {
            return None;
        }
        let mut place = Place::new(&self.shared, script, subject);
        let fill = async {
            if let Some(quota) = self.subject_quota(subject) {
                place.permits.push(quota.acquire_owned().await.ok()?);
            }
            place.permits.push(self.script_quota(script).acquire_owned().await.ok()?);
            place.permits.push(Arc::clone(&self.all).acquire_owned().await.ok()?);
            Some(())
        };
        timeout(self.limits.wait, fill).await.ok()??;
        Some(place.taken())
    }

    /// A place, when one is free now.
    pub(super) fn try_place(&self, script: SourceHash, subject: &Arc<str>) -> Option<Place> {
        let mut place = Place::new(&self.shared, script, subject);
        let mut add = |permit: Result<OwnedSemaphorePermit, TryAcquireError>| permit.map(|it| place.permits.push(it));
        if let Some(quota) = self.subject_quota(subject) {
            add(quota.try_acquire_owned()).ok()?;
        }
        add(self.script_quota(script).try_acquire_owned()).ok()?;
        add(Arc::clone(&self.all).try_acquire_owned()).ok()?;
        Some(place.taken())
    }

    /// Nobody gets a place any more.
    pub(super) fn close(&self) {
        self.all.close();
        let quotas = self.shared.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        quotas.scripts.values().chain(quotas.subjects.values()).for_each(|quota| quota.close());
    }

    /// Nobody's quota is unlimited but that of nobody.
    fn subject_quota(&self, subject: &Arc<str>) -> Option<Arc<Semaphore>> {
        if subject.is_empty() {
            return None;
        }
        let mut quotas = self.shared.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = quotas.subjects.entry(Arc::clone(subject));
        Some(Arc::clone(quota.or_insert_with(|| Arc::new(Semaphore::new(self.limits.per_subject)))))
    }

    fn script_quota(&self, script: SourceHash) -> Arc<Semaphore> {
        let mut quotas = self.shared.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        let quota = quotas.scripts.entry(script);
        Arc::clone(quota.or_insert_with(|| Arc::new(Semaphore::new(self.limits.per_script))))
    }
}

/// The right to wait for HTTP; dropping it gives it back.
pub(super) struct Place {
    shared: Arc<Shared>,
    script: SourceHash,
    subject: Arc<str>,
    permits: Vec<OwnedSemaphorePermit>,
    is_taken: bool,
}

impl Place {
    fn new(shared: &Arc<Shared>, script: SourceHash, subject: &Arc<str>) -> Self {
        let (shared, subject) = (Arc::clone(shared), Arc::clone(subject));
        Self { shared, script, subject, permits: Vec::with_capacity(3), is_taken: false }
    }

    fn taken(mut self) -> Self {
        self.is_taken = true;
        self.shared.taken.fetch_add(1, Ordering::Relaxed);
        self.shared.look();
        self
    }
}

impl Shared {
    /// Tells the nursery that the number of workers wanted changed.
    fn look(&self) {
        // Without a nursery everything is ending.
        let _ = self.orders.send(Order::Look);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.permits.clear();
        if self.is_taken {
            self.shared.taken.fetch_sub(1, Ordering::Relaxed);
            self.shared.look();
        }
        let mut quotas = self.shared.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        forget_unused(&mut quotas.scripts, &self.script);
        forget_unused(&mut quotas.subjects, &self.subject);
    }
}

/// Drops a quota that nobody holds or waits for.
fn forget_unused<K: Hash + Eq>(quotas: &mut HashMap<K, Arc<Semaphore>>, key: &K) {
    if quotas.get(key).is_some_and(|quota| Arc::strong_count(quota) == 1) {
        quotas.remove(key);
    }
}

/// Counts one that waits until it is dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
