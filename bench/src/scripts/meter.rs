//! How much processor time everything took, and how long each call took.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike as _};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use sandbox::Sandbox;

use crate::report::median;

/// Processor time of this process, of the workers that live and of those that have ended.
pub fn processor_time(sandbox: &Sandbox) -> Result<Duration> {
    let own = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).context("this process's clock")?;
    let ended = getrusage(UsageWho::RUSAGE_CHILDREN).context("what ended workers used")?;
    let mut total = Duration::from(own) + duration(ended.user_time()) + duration(ended.system_time());
    for worker in sandbox.worker_ids() {
        let id = i32::try_from(worker).context("a process id")?;
        // One that ends at this moment is counted among the ended ones next time.
        if let Ok(used) = clock_getcpuclockid(Pid::from_raw(id)).and_then(clock_gettime) {
            total += Duration::from(used);
        }
    }
    Ok(total)
}

fn duration(time: TimeVal) -> Duration {
    Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or(0))
}

/// What one round of a case came to.
pub struct Round {
    /// Processor time of one run, in microseconds.
    cpu_per_run: f64,
    latencies: Latencies,
}

/// All rounds of a case.
#[derive(Default)]
pub struct Case {
    cpu_per_run: Vec<f64>,
    latencies: Latencies,
}

impl Case {
    /// Adds a round.
    pub fn add(&mut self, round: &Round) {
        self.cpu_per_run.push(round.cpu_per_run);
        self.latencies.merge(&round.latencies);
    }

    /// The figures: processor time of the round in the middle, latencies over all of them.
    pub fn figures(&self) -> Figures {
        Figures {
            cpu_per_run: median(self.cpu_per_run.clone()),
            p50: self.latencies.percentile(0.5),
            p99: self.latencies.percentile(0.99),
        }
    }

    /// The middle, over the rounds, of what `compare` makes of this case's processor time and the other's in the same round.
    pub fn beside(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> f64 {
        median(self.cpu_per_run.iter().zip(&other.cpu_per_run).map(|(ours, theirs)| compare(*ours, *theirs)).collect())
    }
}

/// What one case came to.
#[derive(Clone)]
pub struct Figures {
    /// Processor time of one run, in microseconds.
    pub cpu_per_run: f64,
    /// Latency of a call, in microseconds; a call is a run or a batch of them.
    pub p50: f64,
    /// The same for 99 of 100 calls.
    pub p99: f64,
}

/// A measurement under way.
pub struct Tally<'a> {
    sandbox: &'a Sandbox,
    runs_per_call: usize,
    before: Duration,
    until: Instant,
    latencies: Latencies,
}

impl<'a> Tally<'a> {
    /// Starts to measure for `length` what makes `runs_per_call` runs a call.
    pub fn start(sandbox: &'a Sandbox, length: Duration, runs_per_call: usize) -> Result<Self> {
        let before = processor_time(sandbox)?;
        Ok(Self { sandbox, runs_per_call, before, until: Instant::now() + length, latencies: Latencies::default() })
    }

    /// Notes a call that began at `started`; false when the time is over.
    pub fn call(&mut self, started: Instant) -> bool {
        let now = Instant::now();
        self.latencies.add(now - started);
        now < self.until
    }

    /// What it came to.
    pub fn finish(self) -> Result<Round> {
        let used = processor_time(self.sandbox)?.saturating_sub(self.before);
        let runs = self.latencies.count as f64 * self.runs_per_call as f64;
        Ok(Round { cpu_per_run: used.as_secs_f64() * 1e6 / runs, latencies: self.latencies })
    }
}

/// Latencies in buckets, each some 3% wide: a minute of calls to an engine in process is too many to keep.
struct Latencies {
    counts: Vec<u64>,
    count: u64,
}

/// Buckets for each doubling.
const STEPS: f64 = 24.0;

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: vec![0; 40 * STEPS as usize], count: 0 }
    }
}

impl Latencies {
    fn add(&mut self, latency: Duration) {
        let nanos = (latency.as_nanos() as f64).max(1.0);
        let bucket = ((nanos.log2() * STEPS) as usize).min(self.counts.len() - 1);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.count += other.count;
    }

    /// Microseconds that this share of the calls did not exceed.
    fn percentile(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        });
        ((bucket.unwrap_or(0) as f64 + 1.0) / STEPS).exp2() / 1000.0
    }
}
