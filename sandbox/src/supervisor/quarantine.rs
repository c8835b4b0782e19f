//! Scripts that keep costing others are put aside until their text changes.
//!
//! Counted are failures in a row that take a worker or a whole budget with them; a run that answers wipes the count. The text is what is
//! put aside, not the name: an edited script runs again at once.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::script::{Failure, FailureKind};
use time::OffsetDateTime;

use super::facts::SourceHash;
use crate::batch::{RunRecord, Script};

/// Failures in a row that put a script aside when at least [`SUBJECTS`] have seen them.
const FAILURES: u32 = 10;
/// How many subjects make sure that it is the script and not one user's claims.
const SUBJECTS: usize = 3;
/// Failures in a row that put it aside whoever has seen them.
const FAILURES_OF_FEW: u32 = 50;
/// Most scripts watched; a crowd of new ones displaces those that failed least.
const MAX_WATCHED: usize = 4096;

/// A script that is not run until its text changes or the process starts anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantined {
    /// Its name.
    pub script: Arc<str>,
    /// When it was put aside.
    pub since: OffsetDateTime,
    /// How it failed last.
    pub last: Failure,
    /// How often it failed in a row.
    pub failures: u32,
}

/// All scripts that failed lately.
#[derive(Default)]
pub(super) struct Quarantine {
    watched: Mutex<HashMap<SourceHash, Streak>>,
    /// How many are watched, so that a world without failures pays nothing.
    count: AtomicUsize,
    key: RandomState,
}

#[derive(Default)]
struct Streak {
    failures: u32,
    subjects: BTreeSet<u64>,
    quarantined: Option<Quarantined>,
}

impl Quarantine {
    /// Those put aside, oldest first.
    pub(super) fn list(&self) -> Vec<Quarantined> {
        let mut list: Vec<_> = self.lock().values().filter_map(|streak| streak.quarantined.clone()).collect();
        list.sort_by_key(|quarantined| quarantined.since);
        list
    }

    /// Why a text is not to be run.
    pub(super) fn refusal(&self, source: SourceHash) -> Option<String> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let watched = self.lock();
        let quarantined = watched.get(&source)?.quarantined.as_ref()?;
        Some(format!(
            "failed {} times in a row, last as {}; it runs again once it is edited",
            quarantined.failures, quarantined.last.kind
        ))
    }

    /// Takes note of how a run ended; answers when that put the script aside.
    pub(super) fn note(
        &self,
        source: SourceHash,
        script: &Script,
        subject: &str,
        record: &RunRecord,
    ) -> Option<Quarantined> {
        match &record.result {
            Ok(_) if self.count.load(Ordering::Relaxed) > 0 => {
                self.change(|watched| drop(watched.remove(&source)));
                None
            }
            Err(failure) if costs_others(failure.kind) => {
                self.change(|watched| self.failed(watched, source, script, subject, failure))
            }
            Ok(_) | Err(_) => None,
        }
    }

    fn failed(
        &self,
        watched: &mut HashMap<SourceHash, Streak>,
        source: SourceHash,
        script: &Script,
        subject: &str,
        failure: &Failure,
    ) -> Option<Quarantined> {
        if watched.len() >= MAX_WATCHED && !watched.contains_key(&source) {
            make_room(watched);
        }
        let streak = watched.entry(source).or_default();
        streak.failures = streak.failures.saturating_add(1);
        if streak.subjects.len() < SUBJECTS {
            streak.subjects.insert(self.key.hash_one(subject));
        }
        let is_enough =
            streak.failures >= FAILURES_OF_FEW || (streak.failures >= FAILURES && streak.subjects.len() >= SUBJECTS);
        if !is_enough || streak.quarantined.is_some() {
            return None;
        }
        let quarantined = Quarantined {
            script: Arc::clone(&script.name),
            since: OffsetDateTime::now_utc(),
            last: failure.clone(),
            failures: streak.failures,
        };
        streak.quarantined = Some(quarantined.clone());
        Some(quarantined)
    }

    fn change<R>(&self, change: impl FnOnce(&mut HashMap<SourceHash, Streak>) -> R) -> R {
        let mut watched = self.lock();
        let answer = change(&mut watched);
        self.count.store(watched.len(), Ordering::Relaxed);
        answer
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SourceHash, Streak>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a failure cost a worker or a whole budget.
fn costs_others(kind: FailureKind) -> bool {
    match kind {
        FailureKind::Timeout | FailureKind::Instructions | FailureKind::Memory | FailureKind::Crash => true,
        FailureKind::Syntax
        | FailureKind::Type
        | FailureKind::Thrown
        | FailureKind::HttpRefused
        | FailureKind::SecretMissing
        | FailureKind::WrongResult
        | FailureKind::Overloaded
        | FailureKind::Quarantined => false,
    }
}

/// Drops an eighth of the texts: those that failed least, quarantined ones last.
fn make_room(watched: &mut HashMap<SourceHash, Streak>) {
    let weight = |streak: &Streak| (streak.quarantined.is_some(), streak.failures);
    let mut texts: Vec<_> = watched.iter().map(|(text, streak)| (weight(streak), *text)).collect();
    texts.sort_unstable_by_key(|(weight, _)| *weight);
    for (_, text) in texts.iter().take(texts.len() / 8 + 1) {
        watched.remove(text);
    }
}
