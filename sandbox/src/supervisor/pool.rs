//! Workers that are ready, and the queue for them.
//!
//! INVARIANT: at most `workers` batches compute at once; a batch that waits for HTTP has given its slot back and holds a place of the parking instead,
//! for which the pool keeps one more worker.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

use super::StartError;
use super::metrics::Counters;
use super::nursery::{Alive, Nursery, Order, Starter};
use super::parking::Parking;
use super::process::Worker;
use crate::batch::Urgency;
use crate::config::SandboxConfig;

/// The workers and who waits for them.
pub(super) struct Pool {
    pub(super) config: SandboxConfig,
    pub(super) counters: Arc<Counters>,
    /// Places of runs that wait for HTTP.
    pub(super) parking: Parking,
    /// One permit per batch that may run.
    slots: Semaphore,
    waiting: AtomicUsize,
    /// One permit per background batch that computes or is next to, and per background run that waits for HTTP.
    background: Semaphore,
    background_calls: Semaphore,
    /// One permit per worker in `ready`.
    ready_count: Semaphore,
    /// The one used last stands last and is used first: its caches fit.
    ready: Mutex<VecDeque<Worker>>,
    orders: Sender<Order>,
    alive: Alive,
    layers: AtomicU32,
    stopping: AtomicBool,
}

impl Pool {
    /// Starts the thread and the workers; returns when the first worker is ready.
    pub(super) async fn start(config: SandboxConfig) -> Result<Arc<Self>, StartError> {
        let (orders, received) = mpsc::channel();
        let alive = Alive::new(Mutex::new(HashMap::new()));
        let counters = Arc::new(Counters::default());
        let pool = Arc::new(Self {
            parking: Parking::new(&config, orders.clone()),
            counters: Arc::clone(&counters),
            slots: Semaphore::new(config.workers.max(1)),
            waiting: AtomicUsize::new(0),
            background: Semaphore::new(config.workers.max(1)),
            background_calls: Semaphore::new((config.parked.min(config.parked_per_script) / 2).max(1)),
            ready_count: Semaphore::new(0),
            ready: Mutex::new(VecDeque::new()),
            orders,
            alive: Arc::clone(&alive),
            layers: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            config,
        });
        let command = pool.config.worker.clone();
        let starter = Starter { command, alive, counters, runtime: tokio::runtime::Handle::current() };
        let (report, reported) = oneshot::channel();
        let nursery = Nursery::new(received, starter, Arc::downgrade(&pool), report);
        std::thread::Builder::new()
            .name("script-workers".to_owned())
            .spawn(|| nursery.run())
            .map_err(StartError::Thread)?;
        let layers =
            reported.await.unwrap_or_else(|_| Err(StartError::Handshake(std::io::ErrorKind::BrokenPipe.into())));
        if layers.is_err() {
            pool.stopping.store(true, Ordering::Release);
        }
        pool.layers.store(layers?, Ordering::Relaxed);
        Ok(pool)
    }

    /// How many workers there should be, those that wait for HTTP included.
    pub(super) fn wanted(&self) -> usize {
        self.config.workers.max(1).saturating_add(self.config.spares).saturating_add(self.parking.taken())
    }

    /// Waits for a background batch's turn to stand in the queues, for as long as it takes; others need none.
    pub(super) async fn background_turn(&self, urgency: Urgency, calls: bool) -> Option<SemaphorePermit<'_>> {
        let turns = if calls { &self.background_calls } else { &self.background };
        match urgency {
            Urgency::Now => None,
            // None are left when everything is ending, and then the queues say so.
            Urgency::Background => turns.acquire().await.ok(),
        }
    }

    /// Waits for the right to run a batch; nothing when too many wait already or it takes too long.
    pub(super) async fn slot(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.slots.try_acquire() {
            return Some(permit);
        }
        let waiter = Waiter(&self.waiting);
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.config.queue {
            return None;
        }
        let permit = timeout(self.config.queue_wait, self.slots.acquire()).await;
        drop(waiter);
        permit.ok()?.ok()
    }

    /// The same as long as it takes for a batch in the background, of which few come this far at once.
    pub(super) async fn slot_for(&self, urgency: Urgency) -> Option<SemaphorePermit<'_>> {
        match urgency {
            Urgency::Now => self.slot().await,
            Urgency::Background => self.slot_again().await,
        }
    }

    /// Waits for the right to go on after HTTP, behind those who wait already; nothing when everything is ending.
    pub(super) async fn slot_again(&self) -> Option<SemaphorePermit<'_>> {
        self.slots.acquire().await.ok()
    }

    /// Takes a worker that is alive; nothing when none comes up in time.
    pub(super) async fn take(&self) -> Option<Worker> {
        let find = async {
            loop {
                self.ready_count.acquire().await.ok()?.forget();
                let worker = self.lock_ready().pop_back();
                // One that died in the queue is dropped here, which replaces it.
                if let Some(worker) = worker.filter(Worker::is_quiet) {
                    return Some(worker);
                }
            }
        };
        timeout(self.config.queue_wait, find).await.ok()?
    }

    /// Gives a worker back, or adds a new one.
    pub(super) fn put(&self, mut worker: Worker) {
        worker.rest();
        self.lock_ready().push_back(worker);
        self.ready_count.add_permits(1);
    }

    /// Lets go the worker that was idle longest, when one is ready.
    pub(super) fn retire_one(&self) {
        if let Ok(permit) = self.ready_count.try_acquire() {
            permit.forget();
            let worker = self.lock_ready().pop_front();
            drop(worker);
        }
    }

    /// Starts a worker that never joins the pool.
    pub(super) async fn one_shot(&self) -> Option<Worker> {
        let (asked, answer) = oneshot::channel();
        self.orders.send(Order::OneShot(asked)).ok()?;
        timeout(self.config.queue_wait, answer).await.ok()?.ok()?.ok()
    }

    pub(super) fn orders(&self) -> Sender<Order> {
        self.orders.clone()
    }

    pub(super) fn layers(&self) -> u32 {
        self.layers.load(Ordering::Relaxed)
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(super) fn worker_ids(&self) -> Vec<u32> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect()
    }

    /// Workers that wait for work, and batches that compute.
    pub(super) fn ready_and_busy(&self) -> (usize, usize) {
        let busy = self.config.workers.max(1).saturating_sub(self.slots.available_permits());
        (self.lock_ready().len(), busy)
    }

    /// Kills and buries every worker.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.slots.close();
        self.background.close();
        self.background_calls.close();
        self.ready_count.close();
        self.parking.close();
        let ready = std::mem::take(&mut *self.lock_ready());
        drop(ready);
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }

    fn lock_ready(&self) -> MutexGuard<'_, VecDeque<Worker>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts one waiting batch until it is dropped.
struct Waiter<'a>(&'a AtomicUsize);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
