//! Settings of the sandbox and the fixed bounds both sides of a worker's socket agree on.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::http::{HttpBackend, NoHttp};
use crate::supervisor::Quarantined;

/// Longest script in bytes.
pub(crate) const MAX_SOURCE: usize = 64 * 1024;
/// Longest script in bytes once secrets stand in it.
pub(crate) const MAX_SUBSTITUTED: usize = 1024 * 1024;
/// Largest claims of one batch, as JSON text.
pub(crate) const MAX_CLAIMS: usize = 4 * 1024 * 1024;
/// Largest frame to or from a worker.
pub(crate) const MAX_FRAME: usize = 16 * 1024 * 1024;
/// Most bytes of printed text kept of one run.
pub(crate) const MAX_OUTPUT: usize = 64 * 1024;
/// Longest text of a failure.
pub(crate) const MAX_MESSAGE: usize = 1024;
/// Most scripts sent to a worker at once; a longer batch goes in parts.
pub(crate) const MAX_BATCH: usize = 512;

/// The program a worker is: this binary again, told to be a worker.
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// Absolute path of the program.
    pub program: PathBuf,
    /// Arguments that make it call [`crate::worker_main`] before it does anything else.
    pub args: Vec<OsString>,
}

/// Settings of the sandbox.
#[derive(Clone)]
pub struct SandboxConfig {
    /// How to start a worker.
    pub worker: WorkerCommand,
    /// Batches evaluated at once; default the number of cores, at least 2. Each worker costs about 10 MiB.
    pub workers: usize,
    /// Workers kept ready beyond that, so that a killed one leaves no gap; default 1.
    pub spares: usize,
    /// Wall time of one run; default 5 s. A run that misses it is killed.
    pub wall_deadline: Duration,
    /// Processor time of one run; default 250 ms. A run that exceeds it is killed.
    pub cpu_budget: Duration,
    /// Instructions of one run; default 10 million, about 80 ms. It comes before the processor time, so that
    /// a script which only loops ends at the same instruction everywhere.
    pub instructions: u64,
    /// Bytes a worker may allocate beyond what it started with; default 128 MiB.
    pub memory: u64,
    /// Batches that may wait for a worker; one more is answered as overloaded. Default 1,024.
    pub queue: usize,
    /// Longest wait for a worker before a batch is answered as overloaded; default 10 s. It does not count against the runs.
    pub queue_wait: Duration,
    /// Carries the scripts' HTTP calls; default refuses them.
    pub http: Arc<dyn HttpBackend>,
    /// Workers that may wait for HTTP at once, beside `workers`; default 64. Each costs about 10 MiB while it waits.
    pub parked: usize,
    /// Of those, how many one script may have; default 48.
    pub parked_per_script: usize,
    /// Of those, how many one subject may have; default 4.
    pub parked_per_subject: usize,
    /// Longest wait of a script that names an HTTP function for its turn; default 60 s. It does not count against the run.
    pub parked_wait: Duration,
    /// Read-only members that Java strings and lists have and Nashorn lets scripts use; default on.
    pub java_members: bool,
    /// How often a script runs in workers before it is read in the background for the native lane; default 3, never for 0.
    /// Scripts that were admitted need no such reading.
    pub learn_after: u32,
    /// Told once when a script is quarantined, by the thread that evaluated it; it must not wait. Default nobody.
    pub on_quarantine: Option<QuarantineHook>,
}

/// Hears of scripts that are quarantined.
pub type QuarantineHook = Arc<dyn Fn(&Quarantined) + Send + Sync>;

impl fmt::Debug for SandboxConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxConfig")
            .field("worker", &self.worker)
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl SandboxConfig {
    /// The default settings for workers started by `worker`.
    pub fn new(worker: WorkerCommand) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            worker,
            workers: cores.max(2),
            spares: 1,
            wall_deadline: Duration::from_secs(5),
            cpu_budget: Duration::from_millis(250),
            instructions: 10_000_000,
            memory: 128 * 1024 * 1024,
            queue: 1024,
            queue_wait: Duration::from_secs(10),
            http: Arc::new(NoHttp),
            parked: 64,
            parked_per_script: 48,
            parked_per_subject: 4,
            parked_wait: Duration::from_secs(60),
            java_members: true,
            learn_after: 3,
            on_quarantine: None,
        }
    }
}
