//! The supervisor: keeps workers ready, gives each one batch at a time, ends what overstays and replaces it.
//!
//! It never looks at what a script means; it trusts a worker's answers only as far as their form.
//! INVARIANTS: every script of a batch gets one record; a worker that misbehaved or was interrupted is never used again;
//! at most `workers` batches run at once, and waiting is bounded in number and time.

mod pool;
mod process;
mod run;

use std::sync::Arc;

use engine::script::{Failure, FailureKind};

use crate::batch::{Admission, Batch, RunRecord, Script};
use crate::config::{MAX_SOURCE, SandboxConfig};
use crate::worker::layer;
use pool::Pool;

/// Errors from starting the sandbox.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The supervisor's own thread could not start.
    #[error("starting the thread that starts script workers")]
    Thread(#[source] std::io::Error),
    /// The worker program could not start.
    #[error("starting a script worker")]
    Spawn(#[source] std::io::Error),
    /// The program started but did not behave like a worker.
    #[error("a script worker did not report for work")]
    Handshake(#[source] std::io::Error),
}

impl StartError {
    /// Stable code for logs and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Thread(_) => "sandbox.start.thread",
            Self::Spawn(_) => "sandbox.start.spawn",
            Self::Handshake(_) => "sandbox.start.handshake",
        }
    }
}

/// Isolation layers the workers reported; one that is absent weakens the sandbox and is shown to the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layers {
    bits: u32,
}

impl Layers {
    /// Every layer by name, and whether it is in force.
    pub fn list(self) -> [(&'static str, bool); 6] {
        [
            ("no_new_privs", layer::NO_NEW_PRIVS),
            ("no_capabilities", layer::NO_CAPABILITIES),
            ("rlimits", layer::RLIMITS),
            ("parent_death_signal", layer::PARENT_DEATH),
            ("not_dumpable", layer::NOT_DUMPABLE),
            ("memory_cap", layer::MEMORY_COUNTED),
        ]
        .map(|(name, bit)| (name, self.bits & bit != 0))
    }

    /// Whether every layer is in force.
    pub fn is_complete(self) -> bool {
        self.list().iter().all(|(_, present)| *present)
    }
}

/// A handle to the sandbox; clones share the workers.
#[derive(Clone)]
pub struct Sandbox {
    pool: Arc<Pool>,
}

impl Sandbox {
    /// Starts the workers; returns once the first one is ready.
    ///
    /// # Errors
    /// When no worker can be started at all. Later failures are retried and logged.
    pub async fn start(config: SandboxConfig) -> Result<Self, StartError> {
        Ok(Self { pool: Pool::start(config).await? })
    }

    /// Runs every script of the batch; never fails as a whole: one record per script, in order.
    pub async fn evaluate(&self, batch: Batch) -> Vec<RunRecord> {
        run::evaluate(&self.pool, &batch).await
    }

    /// Reads a script in a worker without running it.
    ///
    /// # Errors
    /// What is wrong with it, with line and column, when it does not parse; or why it could not be read.
    pub async fn admit(&self, script: Script) -> Result<Admission, Failure> {
        if script.source.len() > MAX_SOURCE {
            let message = "the script is longer than 64 KiB".to_owned();
            return Err(Failure {
                kind: FailureKind::Syntax,
                script: script.name.to_string(),
                message,
                line: None,
                column: None,
            });
        }
        run::admit(&self.pool, &script).await
    }

    /// Kills the workers and waits until they are gone; runs under way end as crashed.
    pub async fn stop(self) {
        self.pool.stop().await;
    }

    /// The isolation layers the workers reported.
    pub fn layers(&self) -> Layers {
        Layers { bits: self.pool.layers() }
    }

    /// Processes that are workers now, for status output and tests.
    pub fn worker_ids(&self) -> Vec<u32> {
        self.pool.worker_ids()
    }
}
