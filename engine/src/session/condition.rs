//! Conditions of one session: the last answer of each, and which run may still change it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crate::{id::ConditionId, object::Logic, script::Failure};

/// What a condition's script answered.
pub type Answer = Result<bool, Failure>;

/// One run of one condition's script; a later run overtakes an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(u64);

/// What an entitlement's conditions come to together.
#[derive(Debug)]
pub(super) enum Standing {
    Satisfied,
    /// These must be asked first.
    Unknown(BTreeSet<ConditionId>),
    /// One is false, or failed in a way that counts as false; these are worth asking again.
    Unsatisfied {
        name: Arc<str>,
        ask: BTreeSet<ConditionId>,
    },
    /// One could not be checked.
    Failed {
        name: Arc<str>,
        failure: Failure,
    },
    /// There is no condition at all.
    Never,
}

/// What an answer came to.
pub(super) struct Change {
    pub name: Arc<str>,
    /// What it is now.
    pub answer: Answer,
    /// Whether it held otherwise before, or was unknown.
    pub changed: bool,
    /// Whether flows may have waited for just any answer.
    pub settles: bool,
}

#[derive(Debug, Default)]
pub(super) struct Conditions {
    states: BTreeMap<ConditionId, State>,
    runs: u64,
}

#[derive(Debug)]
struct State {
    name: Arc<str>,
    answer: Option<Answer>,
    running: Option<RunId>,
    started: Duration,
}

impl Conditions {
    /// Takes in which conditions exist; answers of those that stay are kept. Answers those that are gone.
    pub fn define(&mut self, names: &BTreeMap<ConditionId, Arc<str>>) -> Vec<ConditionId> {
        let gone = self.states.keys().filter(|id| !names.contains_key(id)).copied().collect();
        self.states.retain(|id, _| names.contains_key(id));
        for (id, name) in names {
            let fresh = || State { name: name.clone(), answer: None, running: None, started: Duration::ZERO };
            self.states.entry(*id).or_insert_with(fresh).name = name.clone();
        }
        gone
    }

    /// Starts a run unless one is under way or the last began less than `floor` ago.
    pub fn start(&mut self, id: ConditionId, floor: Duration, now: Duration) -> Option<RunId> {
        let state = self.states.get_mut(&id)?;
        let early = state.answer.is_some() && now < state.started + floor;
        if early || (state.running.is_some() && !floor.is_zero()) {
            return None;
        }
        // An answer that is under way was asked of older facts; only a fresh run counts when facts changed. While
        // nothing was answered yet, the run under way is as fresh as any.
        if state.running.is_some() && state.answer.is_none() {
            return None;
        }
        self.runs += 1;
        let run = RunId(self.runs);
        state.running = Some(run);
        state.started = now;
        Some(run)
    }

    /// Takes in an answer; `None` when its run was overtaken.
    pub fn answer(&mut self, id: ConditionId, run: RunId, answer: Answer) -> Option<Change> {
        let state = self.states.get_mut(&id)?;
        if state.running != Some(run) {
            return None;
        }
        state.running = None;
        let holds = answer == Ok(true);
        let before = state.answer.replace(answer.clone());
        let changed = before.as_ref().is_none_or(|before| (*before == Ok(true)) != holds);
        Some(Change { name: state.name.clone(), answer, changed, settles: !holds })
    }

    /// Forgets the answer and any run under way.
    pub fn forget(&mut self, id: ConditionId) {
        if let Some(state) = self.states.get_mut(&id) {
            state.answer = None;
            state.running = None;
        }
    }

    /// Conditions that were asked at least once.
    pub fn asked(&self) -> BTreeSet<ConditionId> {
        self.states
            .iter()
            .filter(|(_, state)| state.answer.is_some() || state.running.is_some())
            .map(|(id, _)| *id)
            .collect()
    }

    /// When the first of these may be asked again by traffic.
    pub fn next_retry(&self, conditions: &BTreeSet<ConditionId>, retry: Duration) -> Option<Duration> {
        let states = conditions.iter().filter_map(|id| self.states.get(id));
        states.filter(|state| state.running.is_none()).map(|state| state.started + retry).min()
    }

    /// Forgets a failure that could not be answered by the user, once the retry floor has passed.
    pub fn forget_failure(&mut self, id: ConditionId, retry: Duration, now: Duration) {
        let Some(state) = self.states.get_mut(&id) else { return };
        let failed = matches!(&state.answer, Some(Err(failure)) if !failure.kind.starts_remedies());
        if failed && state.running.is_none() && now >= state.started + retry {
            state.answer = None;
        }
    }

    /// Last answers by name.
    pub fn answers(&self) -> BTreeMap<Arc<str>, bool> {
        self.states
            .values()
            .filter_map(|state| state.answer.as_ref().map(|answer| (state.name.clone(), *answer == Ok(true))))
            .collect()
    }

    /// What conditions come to together; a missing definition can never hold.
    pub fn standing(&self, conditions: &BTreeSet<ConditionId>, logic: Logic) -> Standing {
        if conditions.is_empty() {
            return Standing::Never;
        }
        let mut tally = Tally::default();
        for id in conditions {
            match self.states.get(id).map(|state| (&state.name, &state.answer)) {
                None => tally.missing = true,
                Some((_, None)) => {
                    tally.unknown.insert(*id);
                }
                Some((_, Some(Ok(true)))) => tally.held += 1,
                Some((name, Some(Ok(false)))) => tally.unsatisfied(name, *id),
                Some((name, Some(Err(failure)))) if failure.kind.starts_remedies() => tally.unsatisfied(name, *id),
                Some((name, Some(Err(failure)))) => {
                    tally.retry.insert(*id);
                    tally.failed.get_or_insert_with(|| (name.clone(), failure.clone()));
                }
            }
        }
        match logic {
            Logic::And => tally.all(conditions.len()),
            Logic::Or => tally.any(),
        }
    }
}

#[derive(Default)]
struct Tally {
    held: usize,
    missing: bool,
    unknown: BTreeSet<ConditionId>,
    retry: BTreeSet<ConditionId>,
    false_name: Option<Arc<str>>,
    failed: Option<(Arc<str>, Failure)>,
}

impl Tally {
    fn unsatisfied(&mut self, name: &Arc<str>, id: ConditionId) {
        self.retry.insert(id);
        self.false_name.get_or_insert_with(|| name.clone());
    }

    fn all(self, wanted: usize) -> Standing {
        if self.missing {
            return Standing::Never;
        }
        if self.held == wanted {
            return Standing::Satisfied;
        }
        self.not_satisfied()
    }

    fn any(self) -> Standing {
        if self.held > 0 {
            return Standing::Satisfied;
        }
        self.not_satisfied()
    }

    fn not_satisfied(self) -> Standing {
        if !self.unknown.is_empty() {
            return Standing::Unknown(self.unknown);
        }
        match (self.false_name, self.failed) {
            (Some(name), _) => Standing::Unsatisfied { name, ask: self.retry },
            (None, Some((name, failure))) => Standing::Failed { name, failure },
            (None, None) => Standing::Never,
        }
    }
}
