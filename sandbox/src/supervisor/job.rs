//! One batch on its way through the sandbox, and what its parts look like to a worker.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::script::lanes::Lane;
use engine::script::{Failure, FailureKind, ScriptKind};

use super::State;
use super::facts::{CriteriaSet, Facts};
use super::scrub::Veil;
use super::secret::{self, Substituted};
use crate::batch::{Batch, LaneChoice, RunRecord, Script};
use crate::config::{MAX_BATCH, MAX_SOURCE, SandboxConfig};
use crate::secrets::Origin;
use crate::wire::{BatchRequest, Limits, WireLane, WireScript};
use crate::worker::sees_criteria;

/// Most bytes of sources in one request; two of them and the claims fit into a frame.
const MAX_SOURCES: usize = 4 * 1024 * 1024;

/// A batch with what is known about its scripts.
pub(super) struct Job {
    pub(super) state: Arc<State>,
    pub(super) batch: Batch,
    pub(super) facts: Vec<Arc<Facts>>,
    pub(super) criteria: Arc<CriteriaSet>,
    /// The claims as JSON text; empty until a worker needs them.
    pub(super) claims: Vec<u8>,
    /// Places of scripts whose worker somebody outside killed, for which no script is to blame.
    pub(super) lost: Mutex<BTreeSet<usize>>,
}

impl Job {
    /// The script at this place of the batch, with its facts.
    pub(super) fn script(&self, index: usize) -> Option<(&Script, &Arc<Facts>)> {
        self.batch.scripts.get(index).zip(self.facts.get(index))
    }

    /// The run at this place was lost through no fault of its script.
    pub(super) fn note_lost(&self, index: usize) {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).insert(index);
    }

    pub(super) fn was_lost(&self, index: usize) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).contains(&index)
    }

    /// Places of the criteria that a script may call.
    pub(super) fn meant(&self, index: usize) -> Arc<[usize]> {
        match self.script(index) {
            Some((script, facts)) if sees_criteria(script.kind) => self.criteria.meant_by(facts),
            _ => Arc::default(),
        }
    }

    /// Whether the script or a criterion it may call has this property.
    pub(super) fn any_fact(&self, index: usize, has: impl Fn(&Facts) -> bool) -> bool {
        self.script(index).is_some_and(|(_, facts)| has(facts))
            || self.meant(index).iter().filter_map(|at| self.criteria.at(*at)).any(|(_, facts)| has(facts))
    }

    pub(super) fn now_ms(&self) -> i64 {
        i64::try_from(self.batch.now.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(0)
    }

    /// As many of the scripts at the front as fit into one request.
    pub(super) fn fitting<'a>(&self, left: &'a [usize]) -> &'a [usize] {
        let mut bytes = 0_usize;
        let fits = |index: &&usize| {
            let size = self.script(**index).map_or(0, |(script, _)| script.source.len() + script.name.len());
            bytes = bytes.saturating_add(size);
            bytes <= MAX_SOURCES
        };
        let count = left.iter().take(MAX_BATCH).take_while(fits).count();
        left.get(..count.max(1)).unwrap_or(left)
    }

    /// What a worker is asked to run.
    pub(super) fn request<'a>(&'a self, part: &[usize], hidden: Option<&'a Hidden>) -> BatchRequest<'a> {
        let mut meant: BTreeSet<usize> = BTreeSet::new();
        part.iter().for_each(|index| meant.extend(self.meant(*index).iter()));
        let mut bytes = 0_usize;
        let criteria = meant.into_iter().filter_map(|at| {
            let (script, _) = self.criteria.at(at)?;
            let source = hidden.and_then(|hidden| hidden.criteria.get(&at)).map_or(&*script.source, |it| &it.text);
            bytes = bytes.saturating_add(source.len());
            let script =
                WireScript { name: &script.name, kind: ScriptKind::Criteria, source, secret: hidden.is_some() };
            (bytes <= MAX_SOURCES).then_some(script)
        });
        let scripts = part.iter().filter_map(|index| {
            let (script, _) = self.script(*index)?;
            let source = hidden.map_or(&*script.source, |hidden| &hidden.main.text);
            Some(WireScript { name: &script.name, kind: script.kind, source, secret: hidden.is_some() })
        });
        BatchRequest {
            limits: limits(&self.state.pool.config),
            serial: 0,
            lane: match self.batch.lane {
                LaneChoice::Auto | LaneChoice::Only(Lane::Native) => WireLane::Any,
                LaneChoice::Only(Lane::Warm) => WireLane::Warm,
                LaneChoice::Only(Lane::Fresh) => WireLane::Fresh,
            },
            now_ms: self.now_ms(),
            claims: &self.claims,
            criteria: criteria.collect(),
            scripts: scripts.collect(),
        }
    }

    /// A record of a run that failed outside of its script.
    pub(super) fn failed(&self, index: usize, kind: FailureKind, message: &str, duration: Duration) -> RunRecord {
        let name = self.script(index).map(|(script, _)| Arc::clone(&script.name)).unwrap_or_default();
        RunRecord {
            result: Err(failure(&name, kind, message.to_owned())),
            script: name,
            output: String::new(),
            duration,
            instructions: 0,
            lane: Lane::Fresh,
            claims_read: Vec::new(),
            http_calls: Vec::new(),
            audit: Vec::new(),
        }
    }
}

/// The texts of one script and its criteria with the secrets they name in them.
pub(super) struct Hidden {
    main: Substituted,
    /// By place in the list of criteria.
    criteria: BTreeMap<usize, Substituted>,
    pub(super) veil: Veil,
    pub(super) origins: Option<Arc<[Origin]>>,
}

impl Hidden {
    /// Puts in what is named.
    ///
    /// # Errors
    /// The failure the run ends with: a secret is missing, or the text becomes too long.
    pub(super) fn new(job: &Job, index: usize) -> Result<Self, Failure> {
        let Some((script, facts)) = job.script(index) else {
            return Err(failure("", FailureKind::Crash, "there is no such script".to_owned()));
        };
        let meant = job.meant(index);
        let criteria = || meant.iter().filter_map(|at| job.criteria.at(*at).map(|found| (*at, found)));
        let all = facts.secrets.iter().chain(criteria().flat_map(|(_, (_, facts))| facts.secrets.iter()));
        let named = secret::find(all, &job.batch.secrets)
            .map_err(|message| failure(&script.name, FailureKind::SecretMissing, message))?;
        let put = |script: &Script, facts: &Facts| {
            Substituted::new(&script.source, &facts.secrets, &named).ok_or_else(|| {
                let message = "with its secrets the script is longer than 1 MiB".to_owned();
                failure(&script.name, FailureKind::Syntax, message)
            })
        };
        Ok(Self {
            main: put(script, facts)?,
            criteria: criteria()
                .map(|(at, (script, facts))| Ok((at, put(script, facts)?)))
                .collect::<Result<_, Failure>>()?,
            veil: Veil::new(&named),
            origins: secret::allowed_origins(&named),
        })
    }

    /// Makes a record fit to be shown: the author's places, and nothing of a secret.
    pub(super) fn cover(&self, job: &Job, record: &mut RunRecord) {
        if let Err(Failure { script, line: Some(line), column: Some(column), .. }) = &mut record.result {
            let criterion = self.criteria.iter().find(|(at, _)| {
                **script != *record.script && job.criteria.at(**at).is_some_and(|(it, _)| *it.name == **script)
            });
            *column = criterion.map_or(&self.main, |(_, text)| text).author_column(*line, *column);
        }
        self.veil.scrub_record(record);
    }
}

pub(super) fn limits(config: &SandboxConfig) -> Limits {
    Limits { instructions: config.instructions, memory: config.memory, java_members: config.java_members }
}

/// Whether a script is short enough to be looked at.
pub(super) fn is_short(script: &Script) -> bool {
    script.source.len() <= MAX_SOURCE && script.name.len() <= MAX_SOURCE
}

pub(super) fn failure(script: &str, kind: FailureKind, message: String) -> Failure {
    Failure { kind, script: script.to_owned(), message, line: None, column: None }
}
