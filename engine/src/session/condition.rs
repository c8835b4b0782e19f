//! Conditions of one session: the last answer of each, and which run may still change it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use time::OffsetDateTime;

use super::{Moment, schedule};
use crate::{
    claims::Reads,
    id::ConditionId,
    object::{Logic, Schedule},
    script::Failure,
};

/// What a condition's script answered.
pub type Answer = Result<bool, Failure>;

/// What a session has to know of a condition that its entitlements use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionFacts {
    /// Name, as shown in reasons.
    pub name: Arc<str>,
    /// When it is asked again without any other cause.
    pub schedules: Arc<[Schedule]>,
}

/// One run of one condition's script; a later run overtakes an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId(u64);

/// An answer with what its script reads.
#[derive(Debug, Clone)]
pub struct Answered {
    /// What the script answered.
    pub answer: Answer,
    /// Claims it reads: when none of them changes, it need not be asked again.
    pub reads: Reads,
}

impl From<Answer> for Answered {
    /// An answer of a script of which nothing is known.
    fn from(answer: Answer) -> Self {
        Self { answer, reads: Reads::ALL }
    }
}

/// Why a condition is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A flow waits and nothing is known yet.
    Traffic,
    /// A flow waits while it is not satisfied; not more often than this.
    Retry(Duration),
    /// Facts may have changed.
    Changed,
    /// The same, and an answer may take its time: no run is started beside another one, which may be worth more.
    ChangedLater,
}

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
    /// How long after a scheduled moment this session asks.
    delay: Duration,
}

#[derive(Debug)]
struct State {
    facts: ConditionFacts,
    answer: Option<Answer>,
    /// What its script reads, as the last run told.
    reads: Reads,
    /// Runs under way, at most [`MAX_RUNS`].
    running: BTreeSet<RunId>,
    /// The run that answered last.
    answered: Option<RunId>,
    /// Facts changed, and there were too many runs under way to ask at once.
    again: bool,
    started: Duration,
    /// When it is asked next by its schedules.
    due: Option<OffsetDateTime>,
}

impl State {
    fn was_asked(&self) -> bool {
        self.answer.is_some() || !self.running.is_empty()
    }

    fn new(facts: ConditionFacts) -> Self {
        Self {
            facts,
            answer: None,
            reads: Reads::ALL,
            running: BTreeSet::new(),
            answered: None,
            again: false,
            started: Duration::ZERO,
            due: None,
        }
    }

    /// Whether a run may start for this cause.
    fn may_start(&self, cause: Cause, now: Duration) -> bool {
        match cause {
            Cause::Traffic | Cause::ChangedLater => self.running.is_empty(),
            Cause::Retry(floor) => self.running.is_empty() && (self.answer.is_none() || now >= self.started + floor),
            Cause::Changed => self.running.len() < MAX_RUNS,
        }
    }

    /// Whether an answer of this run counts.
    ///
    /// A run that was overtaken saw older facts: it may still take away, but never give. Were it ignored altogether,
    /// whoever causes one run after the other would keep an old answer standing for ever.
    fn counts(&self, run: RunId, answer: &Answer) -> bool {
        let overtaken = self.again || self.running.last().is_some_and(|last| *last > run);
        self.answered.is_none_or(|last| run > last) && (*answer != Ok(true) || !overtaken)
    }

    /// Notes the next scheduled moment after `now`, unless an earlier one is known: the clock may have been set back since.
    fn schedule(&mut self, now: OffsetDateTime, delay: Duration) {
        let next = schedule::next(&self.facts.schedules, now).map(|due| due + delay);
        self.due = [self.due, next].into_iter().flatten().min();
    }
}

impl Conditions {
    /// None yet; each scheduled moment is asked for so much later.
    pub fn new(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// Takes in which conditions exist; answers of those that stay are kept. Answers those that are gone.
    pub fn define(&mut self, defined: &BTreeMap<ConditionId, ConditionFacts>, now: Moment) -> Vec<ConditionId> {
        let gone = self.states.keys().filter(|id| !defined.contains_key(id)).copied().collect();
        self.states.retain(|id, _| defined.contains_key(id));
        for (id, facts) in defined {
            let state = self.states.entry(*id).or_insert_with(|| State::new(facts.clone()));
            if state.facts.schedules != facts.schedules {
                state.due = None;
            }
            state.facts = facts.clone();
            state.schedule(now.wall, self.delay);
        }
        gone
    }

    /// Conditions that were asked before and that their schedules ask again now.
    pub fn scheduled(&mut self, now: OffsetDateTime) -> BTreeSet<ConditionId> {
        let mut due = BTreeSet::new();
        for (id, state) in &mut self.states {
            if state.due.is_some_and(|moment| moment <= now) {
                state.due = None;
                if state.was_asked() {
                    due.insert(*id);
                }
            }
            state.schedule(now, self.delay);
        }
        due
    }

    /// When [`Self::scheduled`] has something next.
    pub fn next_scheduled(&self) -> Option<OffsetDateTime> {
        self.states.values().filter(|state| state.was_asked()).filter_map(|state| state.due).min()
    }

    /// Starts a run if one is due for this cause.
    pub fn start(&mut self, id: ConditionId, cause: Cause, now: Moment) -> Option<RunId> {
        let state = self.states.get_mut(&id)?;
        if !state.may_start(cause, now.monotonic) {
            state.again |= matches!(cause, Cause::Changed | Cause::ChangedLater);
            return None;
        }
        if !state.was_asked() {
            // What was due before anybody asked is of no use now.
            state.due = None;
            state.schedule(now.wall, self.delay);
        }
        self.runs += 1;
        let run = RunId(self.runs);
        state.running.insert(run);
        state.again = false;
        state.started = now.monotonic;
        Some(run)
    }

    /// Starts the run that could not start when facts changed.
    pub fn start_again(&mut self, id: ConditionId, now: Moment) -> Option<RunId> {
        let wanted = self.states.get(&id).is_some_and(|state| state.again);
        if wanted { self.start(id, Cause::Changed, now) } else { None }
    }

    /// Takes in an answer; `None` when it does not count.
    pub fn answer(&mut self, id: ConditionId, run: RunId, answered: Answered) -> Option<Change> {
        let state = self.states.get_mut(&id)?;
        if !state.running.remove(&run) || !state.counts(run, &answered.answer) {
            return None;
        }
        let Answered { answer, reads } = answered;
        (state.answered, state.reads) = (Some(run), reads);
        let holds = answer == Ok(true);
        let before = state.answer.replace(answer.clone());
        let changed = before.as_ref().is_none_or(|before| (*before == Ok(true)) != holds);
        Some(Change { name: state.facts.name.clone(), answer, changed, settles: !holds })
    }

    /// Forgets the answer and the runs under way.
    pub fn forget(&mut self, id: ConditionId) {
        if let Some(state) = self.states.get_mut(&id) {
            state.answer = None;
            state.reads = Reads::ALL;
            state.running.clear();
            state.again = false;
        }
    }

    /// Conditions that were asked and that could answer otherwise with the new claims.
    pub fn touched(&self, before: &Value, after: &Value) -> BTreeSet<ConditionId> {
        let touched = |state: &State| state.was_asked() && state.reads.touched(before, after);
        self.states.iter().filter(|(_, state)| touched(state)).map(|(id, _)| *id).collect()
    }

    /// Conditions that were asked at least once.
    pub fn asked(&self) -> BTreeSet<ConditionId> {
        self.states.iter().filter(|(_, state)| state.was_asked()).map(|(id, _)| *id).collect()
    }

    /// When the first of these may be asked again by traffic.
    pub fn next_retry(&self, conditions: &BTreeSet<ConditionId>, retry: Duration) -> Option<Duration> {
        let states = conditions.iter().filter_map(|id| self.states.get(id));
        states.filter(|state| state.running.is_empty()).map(|state| state.started + retry).min()
    }

    /// Forgets a failure that could not be answered by the user, once the retry floor has passed.
    pub fn forget_failure(&mut self, id: ConditionId, retry: Duration, now: Duration) {
        let Some(state) = self.states.get_mut(&id) else { return };
        let failed = matches!(&state.answer, Some(Err(failure)) if !failure.kind.starts_remedies());
        if failed && state.running.is_empty() && now >= state.started + retry {
            state.answer = None;
        }
    }

    /// Last answers by name.
    pub fn answers(&self) -> BTreeMap<Arc<str>, bool> {
        self.states
            .values()
            .filter_map(|state| state.answer.as_ref().map(|answer| (state.facts.name.clone(), *answer == Ok(true))))
            .collect()
    }

    /// What conditions come to together; a missing definition can never hold.
    pub fn standing(&self, conditions: &BTreeSet<ConditionId>, logic: Logic) -> Standing {
        if conditions.is_empty() {
            return Standing::Never;
        }
        let mut tally = Tally::default();
        for id in conditions {
            match self.states.get(id).map(|state| (&state.facts.name, &state.answer)) {
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

/// Runs of one condition under way at once: the one that was asked of older facts, and one of the newest.
const MAX_RUNS: usize = 2;
