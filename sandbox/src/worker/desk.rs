//! Where the runs of one batch are reported: what begins to the supervisor's shared memory, what ended to the socket, many answers at a time.
//!
//! The record of what began costs one system call and no wake-up; it is what the supervisor's clocks and its blame go by.

use std::rc::Rc;
use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::link::Channel;
use super::{ServeError, confine};
use crate::wire::{Answer, BatchRequest, FromWorker, Progress};

/// Reports the runs of one batch.
pub(super) struct Desk {
    channel: Rc<Channel>,
    serial: u32,
    memory: u64,
    cpu: Duration,
}

/// Whether the batch goes on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Go,
    /// This worker is to be replaced; the supervisor gives the rest to another one.
    Stop,
}

impl Desk {
    pub(super) fn new(channel: &Rc<Channel>, batch: &BatchRequest<'_>) -> Self {
        Self { channel: Rc::clone(channel), serial: batch.serial, memory: batch.limits.memory, cpu: Duration::ZERO }
    }

    /// Notes that the run of this place in the batch begins.
    pub(super) fn begin(&mut self, index: usize) {
        self.cpu = duration(clock_gettime(ClockId::ThreadCPUTime));
        let now = duration(clock_gettime(ClockId::Monotonic));
        let progress = Progress {
            serial: self.serial,
            index: u32::try_from(index).unwrap_or(u32::MAX),
            cpu: self.cpu,
            began_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
        };
        // Without the record the supervisor counts from when it sent the batch, which only makes its clocks stricter.
        let _ = rustix::io::pwrite(rustix::stdio::stdout(), &progress.to_bytes(), 0);
    }

    /// Takes the answer of the run that began last.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<Next, ServeError> {
        let retire = confine::over_soft_cap(self.memory);
        self.channel.push(&FromWorker::Answer(Answer { cpu: self.cpu, retire, ..answer }))?;
        if self.channel.take_asked() {
            // A run that did something must not be run again because its answer was lost with one behind it.
            self.channel.flush()?;
        }
        Ok(if retire { Next::Stop } else { Next::Go })
    }
}

fn duration(time: Timespec) -> Duration {
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
