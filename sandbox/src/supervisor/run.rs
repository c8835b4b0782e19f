//! Takes a batch apart: what needs no worker is answered at once, what neither waits nor holds secrets goes to one worker together,
//! everything else goes alone and side by side.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::script::lanes::Lane;
use engine::script::{Failure, FailureKind};
use tokio::task::JoinSet;

use super::State;
use super::job::{Hidden, Job, is_short};
use super::native;
use super::session::Session;
use crate::batch::{Batch, LaneChoice, Purpose, RunRecord};
use crate::config::MAX_CLAIMS;
use crate::worker::sees_criteria;

/// Scripts of one batch that run alone at the same time.
const SIDE_BY_SIDE: usize = 8;

const WAITING: &str = "too many scripts are waiting";

/// One record per script of the batch, in order.
pub(super) async fn evaluate(state: &Arc<State>, batch: Batch) -> Vec<RunRecord> {
    let facts = state.facts.of_all(&batch.scripts);
    let needs_criteria = batch.scripts.iter().any(|script| sees_criteria(script.kind));
    let criteria = if needs_criteria { state.facts.criteria(&batch.criteria) } else { state.facts.no_criteria() };
    let mut job = Job { state: Arc::clone(state), batch, facts, criteria, claims: Vec::new(), lost: Mutex::default() };
    let mut records = Vec::with_capacity(job.batch.scripts.len());
    for index in 0..job.batch.scripts.len() {
        records.push(at_once(&job, index).await);
    }
    let is_left = |(index, record): (usize, &Option<RunRecord>)| record.is_none().then_some(index);
    let left: Vec<usize> = records.iter().enumerate().filter_map(is_left).collect();
    if left.is_empty() {
        finish(&job, &mut records);
        return records.into_iter().flatten().collect();
    }
    // A value that is JSON already can always be written down.
    job.claims = serde_json::to_vec(&*job.batch.claims).unwrap_or_default();
    let job = Arc::new(job);
    for (index, record) in in_workers(&job, left).await {
        if let Some(place) = records.get_mut(index) {
            *place = Some(record);
        }
    }
    finish(&job, &mut records);
    records.into_iter().flatten().collect()
}

/// Counts what happened and makes sure that every script has a record.
fn finish(job: &Job, records: &mut [Option<RunRecord>]) {
    let state = &job.state;
    for (index, record) in records.iter_mut().enumerate() {
        let record =
            record.get_or_insert_with(|| job.failed(index, FailureKind::Crash, "the run was given up", Duration::ZERO));
        state.pool.counters.ran(record);
        let counts = job.batch.purpose == Purpose::Live && !job.was_lost(index);
        let Some((script, facts)) = job.script(index).filter(|_| counts) else { continue };
        if let Some(quarantined) = state.quarantine.note(facts.hash, script, &job.batch.subject, record) {
            tracing::warn!(
                script = %quarantined.script, failures = quarantined.failures, last = quarantined.last.kind.as_str(),
                "Script quarantined until it is edited"
            );
            if let Some(hook) = &state.pool.config.on_quarantine {
                hook(&quarantined);
            }
        }
    }
}

/// The record of a run that needs no worker.
async fn at_once(job: &Job, index: usize) -> Option<RunRecord> {
    let (script, facts) = job.script(index)?;
    let refused = |kind, message: &str| Some(job.failed(index, kind, message, Duration::ZERO));
    if !is_short(script) {
        return refused(FailureKind::Syntax, "the script is longer than 64 KiB");
    }
    if job.batch.purpose == Purpose::Live
        && let Some(message) = job.state.quarantine.refusal(facts.hash)
    {
        return refused(FailureKind::Quarantined, &message);
    }
    match job.batch.lane {
        LaneChoice::Auto => native::run(job, index),
        LaneChoice::Only(Lane::Native) => Some(native::run_only(job, index).await),
        LaneChoice::Only(Lane::Warm | Lane::Fresh) => None,
    }
}

async fn in_workers(job: &Arc<Job>, left: Vec<usize>) -> Vec<(usize, RunRecord)> {
    if job.claims.len() > MAX_CLAIMS {
        return all_failed(job, &left, FailureKind::Memory, "the claims are larger than 4 MiB");
    }
    let is_alone = |index: &usize| job.any_fact(*index, |facts| facts.names_http || !facts.secrets.is_empty());
    let (apart, together): (Vec<usize>, Vec<usize>) = left.into_iter().partition(is_alone);
    if apart.is_empty() {
        return run_together(job, together).await;
    }
    let (mut records, others) = tokio::join!(run_together(job, together), run_apart(job, apart));
    records.extend(others);
    records
}

/// Runs scripts in as few workers as it takes, one after the other.
async fn run_together(job: &Job, mut left: Vec<usize>) -> Vec<(usize, RunRecord)> {
    if left.is_empty() {
        return Vec::new();
    }
    let _turn = job.state.pool.background_turn(job.batch.urgency, false).await;
    let Some(slot) = job.state.pool.slot_for(job.batch.urgency).await else {
        return all_failed(job, &left, FailureKind::Overloaded, WAITING);
    };
    let mut session = Session::new(job, slot);
    let mut records = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let part = job.fitting(&left).to_vec();
        let answered = session.part(&part).await;
        if answered.len() == part.len() {
            left.drain(..part.len());
        } else {
            left.retain(|index| answered.iter().all(|(done, _)| done != index));
        }
        records.extend(answered);
    }
    records
}

/// Runs scripts that wait or hold secrets, each in a worker of its own, some at the same time.
async fn run_apart(job: &Arc<Job>, apart: Vec<usize>) -> Vec<(usize, RunRecord)> {
    let mut records = Vec::with_capacity(apart.len());
    let mut running = JoinSet::new();
    let mut next = apart.into_iter();
    loop {
        while running.len() < SIDE_BY_SIDE
            && let Some(index) = next.next()
        {
            let job = Arc::clone(job);
            running.spawn(async move { (index, run_alone(&job, index).await) });
        }
        match running.join_next().await {
            Some(Ok(record)) => records.push(record),
            // The script gets the record of a run that was given up.
            Some(Err(_)) => {}
            None => return records,
        }
    }
}

async fn run_alone(job: &Job, index: usize) -> RunRecord {
    let hidden = if job.any_fact(index, |facts| !facts.secrets.is_empty()) {
        match Hidden::new(job, index) {
            Ok(hidden) => Some(hidden),
            Err(failure) => return not_started(job, index, failure),
        }
    } else {
        None
    };
    let pool = &job.state.pool;
    let mut place = None;
    let calls = job.any_fact(index, |facts| facts.names_http);
    let _turn = pool.background_turn(job.batch.urgency, calls).await;
    if calls {
        let Some((_, facts)) = job.script(index) else { return overloaded(job, index) };
        place = pool.parking.place(facts.hash, &job.batch.subject).await;
        if place.is_none() {
            return overloaded(job, index);
        }
        if let Some(record) = native::run_after_wait(job, index) {
            return record;
        }
    }
    let Some(slot) = pool.slot_for(job.batch.urgency).await else { return overloaded(job, index) };
    let mut session = Session::new(job, slot);
    session.hidden = hidden.as_ref();
    session.place = place;
    loop {
        if let Some((_, mut record)) = session.part(&[index]).await.pop() {
            drop(session);
            if let Some(hidden) = &hidden {
                hidden.cover(job, &mut record);
            }
            return record;
        }
    }
}

fn overloaded(job: &Job, index: usize) -> RunRecord {
    job.failed(index, FailureKind::Overloaded, WAITING, Duration::ZERO)
}

pub(super) fn not_started(job: &Job, index: usize, failure: Failure) -> RunRecord {
    let record = job.failed(index, failure.kind, "", Duration::ZERO);
    RunRecord { result: Err(failure), ..record }
}

fn all_failed(job: &Job, left: &[usize], kind: FailureKind, message: &str) -> Vec<(usize, RunRecord)> {
    left.iter().map(|index| (*index, job.failed(*index, kind, message, Duration::ZERO))).collect()
}
