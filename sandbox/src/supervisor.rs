//! The supervisor: keeps workers ready, gives each one part of a batch at a time, ends what overstays and replaces it.
//!
//! It never looks at what a script means; it trusts a worker's answers only as far as their form.
//! INVARIANTS: every script of a batch gets one record; a worker that misbehaved, was interrupted or has seen a secret is never used again;
//! at most `workers` batches compute at once, at most `parked` runs wait for HTTP, and all waiting is bounded in number and time.

mod admit;
mod calls;
mod clock;
mod facts;
mod job;
mod metrics;
mod native;
mod nursery;
mod parking;
mod pool;
mod process;
mod quarantine;
mod run;
mod scrub;
mod secret;
mod session;

use std::sync::Arc;
use std::time::Duration;

use engine::script::Failure;
use serde_json::Value;

use crate::batch::{Admission, Batch, Purpose, RunRecord, Script};
use crate::cache::ScriptCache;
use crate::config::SandboxConfig;
use crate::worker::layer;
use facts::FactsTable;
use pool::Pool;
use quarantine::Quarantine;

pub use metrics::{RunCount, SandboxMetrics};
pub use quarantine::Quarantined;

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
    pub fn list(self) -> [(&'static str, bool); 10] {
        [
            ("no_new_privs", layer::NO_NEW_PRIVS),
            ("no_capabilities", layer::NO_CAPABILITIES),
            ("rlimits", layer::RLIMITS),
            ("parent_death_signal", layer::PARENT_DEATH),
            ("not_dumpable", layer::NOT_DUMPABLE),
            ("memory_cap", layer::MEMORY_COUNTED),
            ("seccomp", layer::SECCOMP),
            ("landlock_files", layer::LANDLOCK),
            ("landlock_network", layer::LANDLOCK_NET),
            ("landlock_scope", layer::LANDLOCK_SCOPE),
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
    state: Arc<State>,
}

/// What the clones of a handle share.
struct State {
    pool: Arc<Pool>,
    facts: FactsTable,
    live_cache: ScriptCache,
    test_cache: ScriptCache,
    quarantine: Quarantine,
    reading: admit::Desk,
    learning: native::Learning,
}

impl State {
    fn cache(&self, purpose: Purpose) -> &ScriptCache {
        match purpose {
            Purpose::Live => &self.live_cache,
            Purpose::Test => &self.test_cache,
        }
    }
}

impl Sandbox {
    /// Starts the workers; returns once the first one is ready. Isolation layers that the kernel lacks are warned about.
    ///
    /// # Errors
    /// When no worker can be started at all. Later failures are retried and logged.
    pub async fn start(config: SandboxConfig) -> Result<Self, StartError> {
        let state = State {
            pool: Pool::start(config).await?,
            facts: FactsTable::new(),
            live_cache: ScriptCache::new(),
            test_cache: ScriptCache::new(),
            quarantine: Quarantine::default(),
            reading: admit::Desk::new(),
            learning: native::Learning::new(),
        };
        let sandbox = Self { state: Arc::new(state) };
        for (layer, _) in sandbox.layers().list().iter().filter(|(_, present)| !present) {
            tracing::warn!(layer, "Script workers run without an isolation layer");
        }
        Ok(sandbox)
    }

    /// Runs every script of the batch; never fails as a whole: one record per script, in order.
    pub async fn evaluate(&self, batch: Batch) -> Vec<RunRecord> {
        run::evaluate(&self.state, batch).await
    }

    /// Reads a script, in a worker of its own, without running it.
    ///
    /// # Errors
    /// What is wrong with it, with line and column, when it does not parse or uses what does not exist here; or why it could not be read.
    pub async fn admit(&self, script: Script) -> Result<Admission, Failure> {
        admit::admit(&self.state, &script).await
    }

    /// Drops the cache of one purpose and fills it anew; what is too large to be cached is left out.
    pub fn reset_cache(&self, purpose: Purpose, entries: impl IntoIterator<Item = (String, Value)>) {
        let cache = self.state.cache(purpose);
        cache.clear();
        for (key, value) in entries {
            let _ = cache.put(key, value.to_string(), CACHED_BY_HAND);
        }
    }

    /// Scripts that are not run until they are edited, oldest first.
    pub fn quarantined(&self) -> Vec<Quarantined> {
        self.state.quarantine.list()
    }

    /// Numbers for operators, as they are now.
    pub fn metrics(&self) -> SandboxMetrics {
        let pool = &self.state.pool;
        let (workers_ready, workers_busy) = pool.ready_and_busy();
        SandboxMetrics {
            workers_ready,
            workers_busy,
            cache_entries: self.state.live_cache.len(),
            quarantined: self.state.quarantine.list().len(),
            layers: self.layers().list().to_vec(),
            ..pool.counters.metrics()
        }
    }

    /// Kills the workers and waits until they are gone; runs under way end as crashed.
    pub async fn stop(self) {
        self.state.pool.stop().await;
    }

    /// The isolation layers the workers reported.
    pub fn layers(&self) -> Layers {
        Layers { bits: self.state.pool.layers() }
    }

    /// Processes that are workers now, for status output and tests.
    pub fn worker_ids(&self) -> Vec<u32> {
        self.state.pool.worker_ids()
    }
}

/// Life of cache entries that were put in from outside.
const CACHED_BY_HAND: Duration = Duration::from_secs(60 * 60);
