//! What this device finds out about itself on demand: device scripts and other commands that the identity provider lists
//! (D 19), beside the built-in claims of [`device`].
//!
//! A value that cannot be had is left out and its reason told: a missing claim is `undefined` to every policy, so nothing
//! that asks for it is granted. Everything is bounded: how many claims, how long each may take, how much it may say.

mod cache;
mod changes;
mod facts;
mod failure;
mod jobs;
mod runner;
mod runs;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use protocol::message::OnDemandClaim;
use serde_json::{Map, Value};
use tokio::{sync::Semaphore, task::JoinSet};

use crate::{
    config::{DeviceScriptMode, DeviceScripts},
    device,
    status::DeviceClaimStatus,
};
use cache::Cache;
use jobs::{Job, Wanted};
use wire::Task;

pub(crate) use cache::Checksum;
pub(crate) use changes::Changes;
pub(crate) use facts::is_active;
pub(crate) use failure::Failure;
pub use runner::script_runner_main;

/// Finds out what a list asks for. Clones share everything that costs something.
#[derive(Clone)]
pub(crate) struct Surveyor {
    tools: Arc<Tools>,
    wanted: Arc<[Wanted]>,
    /// Scripts that could not be fetched, and why.
    unfetched: BTreeMap<Checksum, Failure>,
}

struct Tools {
    settings: DeviceScripts,
    cache: Result<Cache, Failure>,
    scripts: Semaphore,
    facts: Arc<Semaphore>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    /// The list it answers.
    list: Arc<[Wanted]>,
    /// Values by claim, the built-in claims not included.
    values: Map<String, Value>,
    /// One per entry of the list.
    pub(crate) rows: Vec<DeviceClaimStatus>,
}

impl Survey {
    /// All device claims as of now.
    pub(crate) fn claims(&self) -> Map<String, Value> {
        let mut claims = device::collect();
        claims.extend(self.values.clone());
        claims
    }
}

impl Surveyor {
    pub(crate) fn new(settings: DeviceScripts, data_dir: &Path) -> Self {
        let cache = Cache::open(data_dir).map_err(|error| Failure::Cache(error.to_string()));
        let tools =
            Tools { settings, cache, scripts: Semaphore::new(AT_ONCE), facts: Arc::new(Semaphore::new(AT_ONCE)) };
        Self { tools: Arc::new(tools), wanted: Arc::from([]), unfetched: BTreeMap::new() }
    }

    /// How often to look.
    pub(crate) fn interval(&self) -> Duration {
        self.tools.settings.interval.max(SHORTEST_INTERVAL)
    }

    /// Takes in a list; whether it asks for something else than the one before.
    pub(crate) fn update(&mut self, list: Vec<OnDemandClaim>) -> bool {
        let wanted = jobs::parse(list);
        if *wanted == *self.wanted {
            return false;
        }
        self.wanted = wanted.into();
        if let Ok(cache) = &self.tools.cache {
            cache.keep_only(&self.checksums().collect());
        }
        true
    }

    /// Whether what was found answers the list as it is now.
    pub(crate) fn is_current(&self, survey: &Survey) -> bool {
        Arc::ptr_eq(&self.wanted, &survey.list)
    }

    /// Scripts that are to be run and are not here.
    pub(crate) fn missing(&self) -> Vec<Checksum> {
        let Ok((cache, _)) = self.may_run() else { return Vec::new() };
        let missing: BTreeSet<&Checksum> = self.checksums().filter(|checksum| !cache.holds(checksum)).collect();
        missing.into_iter().cloned().collect()
    }

    /// Takes in the file of a script, or why there is none.
    pub(crate) fn fetched(&mut self, checksum: Checksum, file: Result<Vec<u8>, Failure>) {
        let kept = file.and_then(|file| self.tools.cache.as_ref().map_err(Clone::clone)?.put(&checksum, &file));
        match kept {
            Ok(()) => drop(self.unfetched.remove(&checksum)),
            Err(failure) => drop(self.unfetched.insert(checksum, failure)),
        }
    }

    /// Finds everything out. Giving up ends what runs.
    pub(crate) async fn survey(&self) -> Survey {
        let mut running = JoinSet::new();
        for (index, wanted) in self.wanted.iter().enumerate() {
            let (surveyor, job) = (self.clone(), wanted.job.clone());
            running.spawn(async move {
                match job {
                    Ok(job) => (index, surveyor.find(job).await),
                    Err(failure) => (index, Err(failure)),
                }
            });
        }
        let mut found = BTreeMap::new();
        while let Some(ended) = running.join_next().await {
            found.extend(ended.ok());
        }
        self.collect(found)
    }

    fn collect(&self, mut found: BTreeMap<usize, Result<Value, Failure>>) -> Survey {
        let (mut survey, mut left) = (Survey { list: self.wanted.clone(), ..Survey::default() }, MAX_VALUES);
        for (index, wanted) in self.wanted.iter().enumerate() {
            let value = found.remove(&index).unwrap_or(Err(Failure::Unknown)).and_then(|value| {
                let size = value.to_string().len() + wanted.claim.len();
                left = left.checked_sub(size).ok_or(Failure::AllTooLarge)?;
                Ok(value)
            });
            let problem = value.as_ref().err().map(Failure::to_string);
            let (claim, subject) = (wanted.claim.clone(), wanted.subject.clone());
            survey.rows.push(DeviceClaimStatus { claim, subject, problem, restless: false });
            survey.values.extend(value.ok().map(|value| (wanted.claim.clone(), value)));
        }
        survey
    }

    async fn find(&self, job: Job) -> Result<Value, Failure> {
        match job {
            Job::Script { name, filename, checksum, args } => {
                tracing::debug!(script = name, "Device script starts");
                self.run(&filename, checksum, args).await.map(Value::from)
            }
            Job::File(fact, path) => self.blocking(move || facts::of_file(fact, &path)).await,
            Job::ProcessRunning(name) => self.blocking(move || facts::process_running(&name)).await,
            Job::ServiceRunning(name) => self.blocking(move || facts::service_running(&name)).await,
        }
    }

    async fn run(&self, filename: &str, checksum: Checksum, args: Vec<String>) -> Result<String, Failure> {
        let (cache, runner) = self.may_run()?;
        // Never closed.
        let _turn = self.tools.scripts.acquire().await;
        let (cache, of_file) = (cache.clone(), checksum.clone());
        let checked = tokio::task::spawn_blocking(move || cache.check(&of_file)).await;
        let checked = checked.map_err(|_| Failure::Unknown)?.map_err(|failure| {
            self.unfetched.get(&checksum).filter(|_| failure == Failure::Changed).cloned().unwrap_or(failure)
        })?;
        let limit = self.tools.settings.limit;
        let limit_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let (program, args) = if checked.is_program {
            (checked.path, args)
        } else if filename.to_ascii_lowercase().ends_with(".sh") {
            let script = checked.path.to_str().map(str::to_owned).ok_or(Failure::Foreign)?;
            (PathBuf::from("/bin/sh"), std::iter::once(script).chain(args).collect())
        } else {
            return Err(Failure::Foreign);
        };
        runs::run(runner, Task { program, args, limit_ms, most_bytes: MAX_OUTPUT }).await
    }

    /// Asks the system. What does not answer in time, such as a file on a server that is away, keeps its place and
    /// nobody waiting.
    async fn blocking(&self, work: impl FnOnce() -> Result<Value, Failure> + Send + 'static) -> Result<Value, Failure> {
        let answer = async {
            let turn = self.tools.facts.clone().acquire_owned().await.map_err(|_| Failure::Unknown)?;
            let work = tokio::task::spawn_blocking(move || {
                let _turn = turn;
                work()
            });
            work.await.map_err(|_| Failure::Unknown)?
        };
        tokio::time::timeout(FACT_PATIENCE, answer).await.unwrap_or(Err(Failure::Unknown))
    }

    /// What scripts are run with, if they are run at all.
    fn may_run(&self) -> Result<(&Cache, &crate::config::RunnerCommand), Failure> {
        match self.tools.settings.mode {
            DeviceScriptMode::Never => return Err(Failure::SwitchedOff),
            DeviceScriptMode::AsUser if rustix::process::geteuid().is_root() => return Err(Failure::Root),
            DeviceScriptMode::AsUser | DeviceScriptMode::AlsoAsRoot => {}
        }
        let runner = self.tools.settings.runner.as_ref().ok_or(Failure::NoRunner)?;
        Ok((self.tools.cache.as_ref().map_err(Clone::clone)?, runner))
    }

    fn checksums(&self) -> impl Iterator<Item = &Checksum> {
        self.wanted.iter().filter_map(|wanted| match &wanted.job {
            Ok(Job::Script { checksum, .. }) => Some(checksum),
            Ok(Job::File(..) | Job::ProcessRunning(_) | Job::ServiceRunning(_)) | Err(_) => None,
        })
    }
}

/// Scripts, and questions to the system, that run at the same time.
const AT_ONCE: usize = 4;

/// Most bytes one script may print.
const MAX_OUTPUT: usize = 16 * 1024;

/// Most bytes of all values found on demand; they travel in a token to every gateway.
const MAX_VALUES: usize = 64 * 1024;

const FACT_PATIENCE: Duration = Duration::from_secs(10);

const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
