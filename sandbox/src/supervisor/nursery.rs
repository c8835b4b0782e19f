//! The thread that starts and buries all workers, and keeps as many as the pool wants.
//!
//! It lives as long as the pool and the workers, who hold the senders of its orders: the parent-death signal of a worker follows the thread that started it.
//! It alone waits for processes, so a process id in a [`Worker`] cannot have been given to somebody else.

use std::collections::{HashMap, HashSet};
use std::io::{self, PipeReader, Read};
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::oneshot;

use super::StartError;
use super::metrics::Counters;
use super::pool::Pool;
use super::process::{ProgressMemory, Worker, invalid, kill};
use crate::config::WorkerCommand;
use crate::wire::{FromWorker, Hello, Malformed, frame_length};

/// How long a new worker may take to report.
const HANDSHAKE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };
/// First and longest pause after a worker could not be started.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// How long workers stay that a crowd of waiting ones had made necessary: the next crowd may be near, and starting one costs 5 ms.
const LINGER: Duration = Duration::from_secs(5);

/// What the thread is told.
pub(super) enum Order {
    /// The pool may want another number of workers.
    Look,
    /// This process was killed: wait for it.
    Bury(u32),
    /// Start a worker that never joins the pool.
    OneShot(oneshot::Sender<Result<Worker, StartError>>),
    /// Kill and bury all.
    Stop(oneshot::Sender<()>),
}

/// Processes alive, by id.
pub(super) type Alive = Arc<Mutex<HashMap<u32, Child>>>;

/// The thread's state.
pub(super) struct Nursery {
    orders: Receiver<Order>,
    starter: Starter,
    pool: Weak<Pool>,
    /// Hears how starting the first worker went.
    first: Option<oneshot::Sender<Result<u32, StartError>>>,
    pooled: HashSet<u32>,
    /// When to try again after a worker could not be started.
    retry_at: Option<Instant>,
    pause: Duration,
    /// The most workers wanted since `since`.
    peak: usize,
    since: Instant,
}

/// Starts processes.
pub(super) struct Starter {
    pub(super) command: WorkerCommand,
    pub(super) alive: Alive,
    pub(super) counters: Arc<Counters>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Nursery {
    pub(super) fn new(
        orders: Receiver<Order>,
        starter: Starter,
        pool: Weak<Pool>,
        first: oneshot::Sender<Result<u32, StartError>>,
    ) -> Self {
        Self {
            orders,
            starter,
            pool,
            first: Some(first),
            pooled: HashSet::new(),
            retry_at: None,
            pause: RETRY.0,
            peak: 0,
            since: Instant::now(),
        }
    }

    /// Serves orders until the pool and all workers are gone.
    pub(super) fn run(mut self) {
        loop {
            let wait = self.level();
            let order = match wait {
                Some(wait) => self.orders.recv_timeout(wait),
                None => self.orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match order {
                Ok(order) => self.obey(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        stop(&self.starter.alive);
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Look => {}
            Order::Bury(id) => {
                bury(&self.starter.alive, id);
                self.pooled.remove(&id);
            }
            Order::OneShot(asked) => {
                if let Some(pool) = self.pool.upgrade().filter(|pool| !pool.is_stopping()) {
                    // Whoever asked may have given up; then the worker is dropped and buried.
                    let _ = asked.send(self.starter.start(pool.orders()));
                }
            }
            Order::Stop(done) => {
                stop(&self.starter.alive);
                self.pooled.clear();
                let _ = done.send(());
            }
        }
    }

    /// Starts what is missing and lets go what has long been too many; answers when to look again.
    fn level(&mut self) -> Option<Duration> {
        let pool = self.pool.upgrade().filter(|pool| !pool.is_stopping())?;
        while self.pooled.len() < pool.wanted() && self.retry_at.is_none_or(|at| at <= Instant::now()) {
            self.start_one(&pool);
        }
        self.peak = self.peak.max(pool.wanted());
        if self.since.elapsed() >= LINGER {
            for _ in self.peak..self.pooled.len() {
                pool.retire_one();
            }
            self.peak = pool.wanted();
            self.since = Instant::now();
        }
        let again = (self.pooled.len() > pool.wanted()).then(|| LINGER.saturating_sub(self.since.elapsed()));
        let retry = self.retry_at.map(|at| at.saturating_duration_since(Instant::now()));
        again.into_iter().chain(retry).min()
    }

    fn start_one(&mut self, pool: &Pool) {
        match self.starter.start(pool.orders()) {
            Ok(worker) => {
                self.pooled.insert(worker.id());
                (self.retry_at, self.pause) = (None, RETRY.0);
                if let Some(first) = self.first.take() {
                    let _ = first.send(Ok(worker.layers()));
                }
                pool.put(worker);
            }
            Err(error) => {
                tracing::warn!(code = error.code(), error = %source_of(&error), "Script worker could not be started");
                self.retry_at = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(RETRY.1);
                if let Some(first) = self.first.take() {
                    let _ = first.send(Err(error));
                }
            }
        }
    }
}

fn source_of(error: &StartError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

impl Starter {
    fn start(&self, orders: Sender<Order>) -> Result<Worker, StartError> {
        let (their_requests, requests) = io::pipe().map_err(StartError::Spawn)?;
        let (answers, their_answers) = io::pipe().map_err(StartError::Spawn)?;
        let progress = ProgressMemory::new().map_err(StartError::Spawn)?;
        let child = Command::new(&self.command.program)
            .args(&self.command.args)
            .env_clear()
            .current_dir("/")
            .stdin(their_requests)
            .stdout(progress.stdio().map_err(StartError::Spawn)?)
            .stderr(their_answers)
            .spawn()
            .map_err(StartError::Spawn)?;
        self.counters.spawned();
        let id = child.id();
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).insert(id, child);
        let worker = handshake(&answers).and_then(|hello| {
            let _entered = self.runtime.enter();
            Worker::new(id, hello, (requests.into(), answers.into()), progress, orders)
        });
        worker.map_err(|error| {
            bury(&self.alive, id);
            StartError::Handshake(error)
        })
    }
}

fn bury(alive: &Alive, id: u32) {
    let child = alive.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    if let Some(mut child) = child {
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn stop(alive: &Alive) {
    let children: Vec<u32> = alive.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
    children.iter().for_each(|id| kill(*id));
    children.into_iter().for_each(|id| bury(alive, id));
}

/// Reads the greeting, which a worker writes at once and whole.
fn handshake(mut answers: &PipeReader) -> io::Result<Hello> {
    let mut polled = [PollFd::new(answers, PollFlags::IN)];
    if poll(&mut polled, Some(&HANDSHAKE))? == 0 {
        return Err(io::ErrorKind::TimedOut.into());
    }
    let mut head = [0; 4];
    answers.read_exact(&mut head)?;
    let mut body = vec![0; frame_length(head).map_err(invalid)?];
    answers.read_exact(&mut body)?;
    match FromWorker::read(&body).map_err(invalid)? {
        FromWorker::Hello(hello) => Ok(hello),
        FromWorker::Answer(_) | FromWorker::Admission(_) | FromWorker::Call(_) | FromWorker::OutOfMemory => {
            Err(invalid(Malformed("no greeting")))
        }
    }
}
