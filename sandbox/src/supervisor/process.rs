//! One worker process as the supervisor holds it: its pipes, its progress record, its clocks.
//!
//! A [`Worker`] is used by one task at a time. Dropping it kills the process; the nursery buries it and keeps the number up.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::sync::mpsc::Sender;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use zeroize::Zeroizing;

use super::nursery::Order;
use crate::wire::{FromWorker, Hello, Malformed, Progress, ToWorker, frame, frame_length};

/// Room made for each read; most answers of a batch come in one.
const READ: usize = 16 * 1024;
/// Room in the pipe for requests.
const PIPE: usize = 256 * 1024;
/// Largest buffer kept between batches.
const KEEP: usize = 256 * 1024;

/// How often, and how far apart, one that has closed its pipes is looked at.
const ENDING_LOOKS: u32 = 20;
const ENDING_PAUSE: Duration = Duration::from_millis(1);

/// A worker that waits for work or does some.
pub(super) struct Worker {
    id: u32,
    hello: Hello,
    requests: pipe::Sender,
    answers: pipe::Receiver,
    progress: ProgressMemory,
    orders: Sender<Order>,
    /// What was sent last; it may hold secrets.
    sent: Zeroizing<Vec<u8>>,
    received: Received,
    serial: u32,
    /// Processor time at its last answer.
    pub(super) cpu: Duration,
}

impl Worker {
    pub(super) fn new(
        id: u32,
        hello: Hello,
        (requests, answers): (OwnedFd, OwnedFd),
        progress: ProgressMemory,
        orders: Sender<Order>,
    ) -> io::Result<Self> {
        // A system that allows no larger pipe costs a large batch some more wake-ups.
        let _ = rustix::pipe::fcntl_setpipe_size(&requests, PIPE);
        Ok(Self {
            id,
            hello,
            requests: pipe::Sender::from_owned_fd(requests)?,
            answers: pipe::Receiver::from_owned_fd(answers)?,
            progress,
            orders,
            sent: Zeroizing::default(),
            received: Received::default(),
            serial: 0,
            cpu: Duration::ZERO,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    /// The isolation layers it reported.
    pub(super) fn layers(&self) -> u32 {
        self.hello.layers
    }

    /// Whether it is still there and says nothing unasked.
    pub(super) fn is_quiet(&self) -> bool {
        let mut polled = [PollFd::new(&self.answers, PollFlags::IN)];
        self.received.is_empty() && poll(&mut polled, Some(&Timespec::default())) == Ok(0)
    }

    /// A number for the next batch, unlike those of all before.
    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    pub(super) async fn send(&mut self, message: &ToWorker<'_>) -> io::Result<()> {
        frame(&mut self.sent, |to| message.write(to))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.requests.write_all(&self.sent).await
    }

    /// The next frame. Giving up waiting loses nothing.
    pub(super) async fn receive(&mut self) -> io::Result<FromWorker> {
        loop {
            if let Some(message) = self.received.next().map_err(invalid)? {
                return Ok(message);
            }
            let room = self.received.room().map_err(invalid)?;
            if self.answers.read_buf(room).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The run it began last, by its own account.
    pub(super) fn progress(&self) -> Option<Progress> {
        self.progress.read().filter(|progress| progress.serial == self.serial)
    }

    /// Processor time of its evaluating thread since that started; nothing when the kernel does not say.
    pub(super) fn cpu_now(&self) -> Option<Duration> {
        let path = format!("/proc/{}/task/{}/schedstat", self.id, self.hello.thread);
        std::fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }

    /// Whether somebody outside killed it, such as the kernel for want of memory: nothing in a worker can send a signal, and its own
    /// limits end it by others. To be asked of one that has closed its pipes.
    pub(super) async fn was_killed_from_outside(&self) -> bool {
        let Some(id) = i32::try_from(self.id).ok().and_then(Pid::from_raw) else { return false };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        for _ in 0..ENDING_LOOKS {
            match waitid(WaitId::Pid(id), look) {
                Ok(Some(status)) => return status.terminating_signal() == Some(Signal::KILL.as_raw()),
                // Its pipes close a moment before it has ended.
                Ok(None) => tokio::time::sleep(ENDING_PAUSE).await,
                Err(_) => return false,
            }
        }
        false
    }

    /// Lets go of buffers that a large batch left.
    pub(super) fn rest(&mut self) {
        if self.sent.capacity() > KEEP {
            self.sent = Zeroizing::default();
        }
        self.received.rest();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        kill(self.id);
        // Without a thread to tell, everything is ending anyway.
        let _ = self.orders.send(Order::Bury(self.id));
    }
}

/// Bytes received and not yet read as frames.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    read: usize,
}

impl Received {
    fn is_empty(&self) -> bool {
        self.read == self.bytes.len()
    }

    fn waiting(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or_default()
    }

    /// Body length of the frame that comes first, once its head is here.
    fn length(&self) -> Result<Option<usize>, Malformed> {
        self.waiting().first_chunk().map(|head| frame_length(*head)).transpose()
    }

    /// Takes the first frame when it is complete.
    fn next(&mut self) -> Result<Option<FromWorker>, Malformed> {
        let Some(length) = self.length()? else { return Ok(None) };
        let Some(body) = self.waiting().get(4..4 + length) else { return Ok(None) };
        let message = FromWorker::read(body)?;
        self.read += 4 + length;
        Ok(Some(message))
    }

    /// Where the next bytes go.
    fn room(&mut self) -> Result<&mut Vec<u8>, Malformed> {
        if self.is_empty() {
            self.bytes.clear();
        } else {
            self.bytes.drain(..self.read);
        }
        self.read = 0;
        let missing = self.length()?.map_or(0, |length| (4 + length).saturating_sub(self.bytes.len()));
        self.bytes.reserve(missing.max(READ));
        Ok(&mut self.bytes)
    }

    fn rest(&mut self) {
        if self.is_empty() && self.bytes.capacity() > KEEP {
            *self = Self::default();
        }
    }
}

/// The memory that a worker writes its [`Progress`] to.
pub(super) struct ProgressMemory(OwnedFd);

impl ProgressMemory {
    /// Memory of a fixed size that neither side can resize.
    pub(super) fn new() -> io::Result<Self> {
        let memory = rustix::fs::memfd_create("progress", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&memory, u64::try_from(Progress::SIZE).unwrap_or(u64::MAX))?;
        rustix::fs::fcntl_add_seals(&memory, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
        Ok(Self(memory))
    }

    /// The same memory as a worker's standard output.
    pub(super) fn stdio(&self) -> io::Result<Stdio> {
        self.0.as_fd().try_clone_to_owned().map(Stdio::from)
    }

    fn read(&self) -> Option<Progress> {
        let mut bytes = [0; Progress::SIZE];
        let length = rustix::io::pread(&self.0, &mut bytes, 0).ok()?;
        (length == Progress::SIZE).then(|| Progress::from_bytes(&bytes))?
    }
}

pub(super) fn invalid(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

pub(super) fn kill(id: u32) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // A process that ended by itself waits to be buried.
        let _ = kill_process(id, Signal::KILL);
    }
}
