//! One worker process, and the thread that starts and buries them all.
//!
//! The thread lives as long as the pool and the workers, who hold the senders of its orders: the parent-death signal of a worker follows the thread that started it.
//! It alone waits for processes, so a process id in a [`Worker`] cannot have been given to somebody else.

use std::collections::HashMap;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use super::StartError;
use super::pool::Pool;
use crate::config::WorkerCommand;
use crate::wire::{FromWorker, Hello, Malformed, ToWorker, frame, frame_length};

/// How long a new worker may take to report.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// First and longest pause after a worker could not be started.
const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What the thread is told.
pub(super) enum Order {
    /// Start one more worker; the first one reports how it went.
    Start(Option<oneshot::Sender<Result<u32, StartError>>>),
    /// This process was killed: wait for it, and start another one.
    Bury(u32),
    /// Kill and bury all.
    Stop(oneshot::Sender<()>),
}

/// Processes alive, by id.
pub(super) type Alive = Arc<Mutex<HashMap<u32, Child>>>;

/// A worker that waits for work or does some. Dropping it kills it; another one takes its place.
pub(super) struct Worker {
    id: u32,
    hello: Hello,
    stream: UnixStream,
    orders: Sender<Order>,
    buffer: Vec<u8>,
    /// Processor time at its last answer.
    pub(super) cpu: Duration,
}

impl Worker {
    /// Whether it is still there and says nothing unasked.
    pub(super) fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let flags = rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT;
        matches!(rustix::net::recv(&self.stream, &mut byte[..], flags), Err(rustix::io::Errno::AGAIN))
    }

    pub(super) async fn send(&mut self, message: &ToWorker<'_>) -> io::Result<()> {
        frame(&mut self.buffer, |to| message.write(to))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.stream.write_all(&self.buffer).await
    }

    pub(super) async fn receive(&mut self) -> io::Result<FromWorker> {
        let mut head = [0; 4];
        self.stream.read_exact(&mut head).await?;
        let length = frame_length(head).map_err(invalid)?;
        self.buffer.clear();
        self.buffer.resize(length, 0);
        self.stream.read_exact(&mut self.buffer).await?;
        FromWorker::read(&self.buffer).map_err(invalid)
    }

    /// Where its processor time can be read while it runs.
    pub(super) fn cpu_meter(&self) -> CpuMeter {
        CpuMeter { process: self.id, thread: self.hello.thread }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill(self.id);
        // Without a thread to tell, everything is ending anyway.
        let _ = self.orders.send(Order::Bury(self.id));
    }
}

/// Reads the processor time of an evaluating thread.
#[derive(Clone, Copy)]
pub(super) struct CpuMeter {
    process: u32,
    thread: u32,
}

impl CpuMeter {
    /// Processor time since the thread started; nothing when the kernel does not say.
    pub(super) fn read(self) -> Option<Duration> {
        let text = std::fs::read_to_string(format!("/proc/{}/task/{}/schedstat", self.process, self.thread)).ok()?;
        text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }
}

fn invalid(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn kill(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // A process that ended by itself waits to be buried.
        let _ = kill_process(id, Signal::KILL);
    }
}

/// The thread's state.
pub(super) struct Nursery {
    pub(super) command: WorkerCommand,
    pub(super) orders: Receiver<Order>,
    pub(super) alive: Alive,
    pub(super) pool: Weak<Pool>,
    pub(super) runtime: tokio::runtime::Handle,
}

impl Nursery {
    /// Serves orders until the pool is gone.
    pub(super) fn run(self) {
        let Self { command, orders, alive, pool, runtime } = self;
        let mut pause = RETRY.0;
        while let Ok(order) = orders.recv() {
            let again = match order {
                Order::Start(report) => Some(report),
                Order::Bury(id) => {
                    bury(&alive, id);
                    Some(None)
                }
                Order::Stop(done) => {
                    stop(&alive);
                    let _ = done.send(());
                    None
                }
            };
            let (Some(report), Some(pool)) = (again, pool.upgrade()) else { continue };
            if pool.is_stopping() {
                continue;
            }
            match (start(&command, &alive, pool.orders(), &runtime), report) {
                (Ok(worker), report) => {
                    pause = RETRY.0;
                    if let Some(report) = report {
                        let _ = report.send(Ok(worker.hello.layers));
                    }
                    pool.put(worker);
                }
                (Err(error), Some(report)) => {
                    let _ = report.send(Err(error));
                }
                (Err(error), None) => {
                    tracing::warn!(code = error.code(), error = %source_of(&error), "Script worker could not be started");
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(RETRY.1);
                    let _ = pool.orders().send(Order::Start(None));
                }
            }
        }
        stop(&alive);
    }
}

fn source_of(error: &StartError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
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

fn start(
    command: &WorkerCommand,
    alive: &Alive,
    orders: Sender<Order>,
    runtime: &tokio::runtime::Handle,
) -> Result<Worker, StartError> {
    let (ours, theirs) = StdStream::pair().map_err(StartError::Spawn)?;
    let child = Command::new(&command.program)
        .args(&command.args)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(StartError::Spawn)?;
    let id = child.id();
    alive.lock().unwrap_or_else(PoisonError::into_inner).insert(id, child);
    let shaken = handshake(&ours).and_then(|hello| {
        ours.set_read_timeout(None)?;
        ours.set_nonblocking(true)?;
        let _entered = runtime.enter();
        Ok((hello, UnixStream::from_std(ours)?))
    });
    match shaken {
        Ok((hello, stream)) => Ok(Worker { id, hello, stream, orders, buffer: Vec::new(), cpu: Duration::ZERO }),
        Err(error) => {
            bury(alive, id);
            Err(StartError::Handshake(error))
        }
    }
}

fn handshake(mut stream: &StdStream) -> io::Result<Hello> {
    stream.set_read_timeout(Some(HANDSHAKE))?;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let mut body = vec![0; frame_length(head).map_err(invalid)?];
    stream.read_exact(&mut body)?;
    match FromWorker::read(&body).map_err(invalid)? {
        FromWorker::Hello(hello) => Ok(hello),
        FromWorker::Answer(_) | FromWorker::Admission(_) | FromWorker::Call(_) | FromWorker::OutOfMemory => {
            Err(invalid(Malformed("no greeting")))
        }
    }
}
