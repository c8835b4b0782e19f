//! Workers that are ready, and the queue for them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::timeout;

use super::StartError;
use super::process::{Alive, Nursery, Order, Worker};
use crate::config::SandboxConfig;

/// The workers and who waits for them.
pub(super) struct Pool {
    pub(super) config: SandboxConfig,
    /// One permit per batch that may run.
    slots: Semaphore,
    waiting: AtomicUsize,
    /// One permit per worker in `ready`.
    ready_count: Semaphore,
    ready: Mutex<Vec<Worker>>,
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
        let pool = Arc::new(Self {
            slots: Semaphore::new(config.workers.max(1)),
            waiting: AtomicUsize::new(0),
            ready_count: Semaphore::new(0),
            ready: Mutex::new(Vec::new()),
            orders: orders.clone(),
            alive: Arc::clone(&alive),
            layers: AtomicU32::new(0),
            stopping: AtomicBool::new(false),
            config,
        });
        let nursery = Nursery {
            command: pool.config.worker.clone(),
            orders: received,
            alive,
            pool: Arc::downgrade(&pool),
            runtime: tokio::runtime::Handle::current(),
        };
        std::thread::Builder::new()
            .name("script-workers".to_owned())
            .spawn(|| nursery.run())
            .map_err(StartError::Thread)?;
        let (report, reported) = oneshot::channel();
        let _ = orders.send(Order::Start(Some(report)));
        let layers =
            reported.await.unwrap_or_else(|_| Err(StartError::Handshake(std::io::ErrorKind::BrokenPipe.into())))?;
        pool.layers.store(layers, Ordering::Relaxed);
        for _ in 1..pool.config.workers.max(1).saturating_add(pool.config.spares) {
            let _ = orders.send(Order::Start(None));
        }
        Ok(pool)
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

    /// Takes a worker that is alive; nothing when none comes up in time.
    pub(super) async fn take(&self) -> Option<Worker> {
        let find = async {
            loop {
                self.ready_count.acquire().await.ok()?.forget();
                let worker = self.lock_ready().pop();
                // One that died in the queue is dropped here, which replaces it.
                if let Some(worker) = worker.filter(Worker::is_quiet) {
                    return Some(worker);
                }
            }
        };
        timeout(self.config.queue_wait, find).await.ok()?
    }

    /// Gives a worker back, or adds a new one.
    pub(super) fn put(&self, worker: Worker) {
        self.lock_ready().push(worker);
        self.ready_count.add_permits(1);
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

    /// Kills and buries every worker.
    pub(super) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        self.slots.close();
        self.ready_count.close();
        let ready = std::mem::take(&mut *self.lock_ready());
        drop(ready);
        let (done, stopped) = oneshot::channel();
        if self.orders.send(Order::Stop(done)).is_ok() {
            let _ = stopped.await;
        }
    }

    fn lock_ready(&self) -> std::sync::MutexGuard<'_, Vec<Worker>> {
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
