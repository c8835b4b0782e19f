//! What a worker is at, in a piece of memory it shares with its supervisor.
//!
//! Answers are collected before they are sent, so the supervisor learns from here which run its clocks are about, and whom to blame
//! when the worker is gone. The memory has a fixed size and the content is never trusted: what does not fit is no progress.

use std::time::Duration;

/// The run a worker began last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Which batch of this worker's life.
    pub(crate) serial: u32,
    /// Which script of that batch.
    pub(crate) index: u32,
    /// Processor time of the evaluating thread when the run began.
    pub(crate) cpu: Duration,
    /// The monotonic clock when the run began, in nanoseconds.
    pub(crate) began_ns: u64,
}

impl Progress {
    /// Size of the record in bytes.
    pub(crate) const SIZE: usize = 32;

    /// The record: which run it is stands first and last, so that a reader notices half a record.
    pub(crate) fn to_bytes(self) -> [u8; Self::SIZE] {
        let run = (u64::from(self.serial) << 32) | u64::from(self.index);
        let cpu_ns = u64::try_from(self.cpu.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = [0; Self::SIZE];
        for (to, word) in bytes.chunks_exact_mut(8).zip([run, cpu_ns, self.began_ns, run]) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a record; nothing when it is torn.
    pub(crate) fn from_bytes(bytes: &[u8; Self::SIZE]) -> Option<Self> {
        let mut words = bytes.chunks_exact(8).filter_map(|word| word.first_chunk().copied().map(u64::from_le_bytes));
        let (run, cpu_ns, began_ns, again) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let half = |word: u64| u32::try_from(word & u64::from(u32::MAX)).ok();
        (run == again).then_some(Self {
            serial: half(run >> 32)?,
            index: half(run)?,
            cpu: Duration::from_nanos(cpu_ns),
            began_ns,
        })
    }
}
