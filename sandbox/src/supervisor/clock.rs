//! The clocks of the run a worker is at: wall time and processor time, by the worker's own account as far as that can be.
//!
//! A worker may lie about when a run began, so what it says is held between what is known: a run begins after the batch was sent, after the run
//! before it, and not in the future; and what was said once about a run stands.

use std::time::Duration;

use engine::script::FailureKind;
use rustix::time::{ClockId, clock_gettime};

use super::process::Worker;
use crate::config::SandboxConfig;

/// Slack after a clock should have run out, so that it has.
const SLACK: Duration = Duration::from_millis(1);

/// The clocks of one batch, or of one part of it, in one worker.
pub(super) struct Watch {
    wall: Duration,
    cpu: Duration,
    /// Scripts in the part.
    count: usize,
    /// Answers that came.
    done: usize,
    /// The run it is at, at least `done`.
    index: usize,
    began_ns: u64,
    cpu_began: Duration,
    /// Whether the worker told when the run at `index` began.
    is_told: bool,
    /// Time the run waited for its turn, which does not count.
    queued: Duration,
    /// Time it waited for HTTP, which costs no processor.
    called: Duration,
}

/// Whether a run may go on.
pub(super) enum Verdict {
    /// So long at most before the next look.
    Wait(Duration),
    /// It is over, for this reason.
    Over(FailureKind, String),
}

impl Watch {
    /// Begins when a part of `count` scripts is sent.
    pub(super) fn new(config: &SandboxConfig, worker: &Worker, count: usize) -> Self {
        Self {
            wall: config.wall_deadline,
            cpu: config.cpu_budget,
            count,
            done: 0,
            index: 0,
            began_ns: now_ns(),
            cpu_began: worker.cpu,
            is_told: false,
            queued: Duration::ZERO,
            called: Duration::ZERO,
        }
    }

    /// How long to wait before the first look.
    pub(super) fn first_wait(&self) -> Duration {
        self.cpu.min(self.wall) + SLACK
    }

    /// An answer came: the next run's time counts from when it began.
    pub(super) fn answered(&mut self) {
        self.done += 1;
        (self.queued, self.called) = (Duration::ZERO, Duration::ZERO);
        if self.index < self.done {
            self.index = self.done;
            self.is_told = false;
        }
    }

    /// The run waited for its turn.
    pub(super) fn add_queued(&mut self, waited: Duration) {
        self.queued += waited;
    }

    /// The run waited for HTTP.
    pub(super) fn add_called(&mut self, waited: Duration) {
        self.called += waited;
    }

    /// The run the worker is at, by what it said last.
    pub(super) fn index(&mut self, worker: &Worker) -> usize {
        self.look(worker);
        self.index
    }

    /// Whether the worker ever began this part.
    pub(super) fn has_begun(&mut self, worker: &Worker) -> bool {
        self.look(worker);
        self.done > 0 || self.is_told
    }

    /// Wall time the run has used.
    pub(super) fn wall_used(&mut self, worker: &Worker) -> Duration {
        self.look(worker);
        let since = Duration::from_nanos(now_ns().saturating_sub(self.began_ns));
        since.saturating_sub(if self.index == self.done { self.queued } else { Duration::ZERO })
    }

    /// Wall time the run has left.
    pub(super) fn wall_left(&mut self, worker: &Worker) -> Duration {
        self.wall.saturating_sub(self.wall_used(worker))
    }

    /// Looks at both clocks.
    pub(super) fn check(&mut self, worker: &Worker) -> Verdict {
        let wall = self.wall_used(worker);
        if wall >= self.wall {
            let text = format!("did not finish within {} ms", self.wall.as_millis());
            return Verdict::Over(FailureKind::Timeout, text);
        }
        // A kernel that does not tell processor time makes the time it did not wait count as such.
        let cpu = match worker.cpu_now() {
            Some(cpu) => cpu.saturating_sub(self.cpu_began),
            None => wall.saturating_sub(self.called),
        };
        if cpu >= self.cpu {
            let text = format!("used more than {} ms of CPU time", self.cpu.as_millis());
            return Verdict::Over(FailureKind::Timeout, text);
        }
        Verdict::Wait((self.cpu - cpu).min(self.wall - wall) + SLACK)
    }

    /// Reads what the worker says it is at.
    fn look(&mut self, worker: &Worker) {
        let Some(progress) = worker.progress() else { return };
        let Ok(index) = usize::try_from(progress.index) else { return };
        let index = index.min(self.count.saturating_sub(1));
        if index > self.index || (index == self.index && !self.is_told) {
            self.index = index;
            self.is_told = true;
            self.began_ns = progress.began_ns.min(now_ns()).max(self.began_ns);
            self.cpu_began = progress.cpu.min(worker.cpu_now().unwrap_or(progress.cpu)).max(self.cpu_began);
        }
    }
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0))
}
