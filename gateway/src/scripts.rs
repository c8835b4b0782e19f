//! Scripts on a gateway: conditions and entitlement scripts, run by the sandbox, with an answer in every case.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use engine::{
    claims::Reads,
    rules::ScriptAnswers,
    script::{Failure, FailureKind, ScriptKind},
    session::Answered,
};
use sandbox::{Batch, RunRecord, Sandbox, SandboxMetrics, Script, Urgency};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore};

use crate::metrics::Timing;

/// Runs scripts; an edit that concerns every session queues here and not in the sandbox, whose full queue would refuse.
pub(crate) struct Scripts {
    sandbox: Sandbox,
    turns: Semaphore,
    /// Turns of batches that may call out, so that slow servers hold up only those who ask them.
    calling_turns: Semaphore,
    /// Sessions that begin to ask their conditions; what waits for a worker is no longer among them.
    beginning: Arc<Crowd>,
    /// Questions in the background that wait for a worker or a server.
    late: Arc<Crowd>,
    pub(crate) conditions: Timing,
    pub(crate) entitlement_scripts: Timing,
}

impl Scripts {
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self {
            sandbox,
            turns: Semaphore::new(MAX_BATCHES),
            calling_turns: Semaphore::new(MAX_CALLING_BATCHES),
            beginning: Arc::default(),
            late: Arc::default(),
            conditions: Timing::default(),
            entitlement_scripts: Timing::default(),
        }
    }

    /// Counts a session that begins to ask its conditions, until this is dropped.
    pub(crate) fn asking(&self) -> Counted {
        self.beginning.count(CROWD)
    }

    /// Counts a question in the background that was not answered on the spot, until this is dropped.
    pub(crate) fn waiting(&self) -> Counted {
        self.late.count(LATE)
    }

    /// Waits until so few sessions ask that whoever comes now hardly waits, and what is asked in the background is asked
    /// soon. For one task at a time.
    pub(crate) async fn room(&self) {
        while !(self.beginning.has_room(CROWD) && self.late.has_room(LATE)) {
            tokio::select! {
                () = self.beginning.fewer.notified() => {}
                () = self.late.fewer.notified() => {}
            }
        }
    }

    /// Runs a batch when it is its turn: one record per script, in order.
    pub(crate) async fn run(&self, batch: Batch) -> Vec<RunRecord> {
        let calls = batch.scripts.iter().any(|script| script.source.contains(HTTP_FUNCTIONS));
        let turns = if calls { &self.calling_turns } else { &self.turns };
        let _turn = match batch.urgency {
            Urgency::Now => Some(turns.acquire().await),
            // The sandbox lets these wait by themselves, so that they are in nobody's way here.
            Urgency::Background => None,
        };
        let kinds: Vec<ScriptKind> = batch.scripts.iter().map(|script| script.kind).collect();
        let records = self.sandbox.evaluate(batch).await;
        for (kind, record) in kinds.into_iter().zip(&records) {
            self.timing(kind).note(record.duration);
        }
        records
    }

    /// What the sandbox counts.
    pub(crate) fn metrics(&self) -> SandboxMetrics {
        self.sandbox.metrics()
    }

    /// Ends the workers.
    pub(crate) async fn stop(&self) {
        self.sandbox.clone().stop().await;
    }

    fn timing(&self, kind: ScriptKind) -> &Timing {
        match kind {
            ScriptKind::Condition => &self.conditions,
            ScriptKind::Policy
            | ScriptKind::Criteria
            | ScriptKind::Host
            | ScriptKind::PortOrType
            | ScriptKind::AppShortcut
            | ScriptKind::UserClaim => &self.entitlement_scripts,
        }
    }
}

/// How many there are, and news when there are fewer.
#[derive(Default)]
struct Crowd {
    count: AtomicUsize,
    fewer: Notify,
}

impl Crowd {
    fn count(self: &Arc<Self>, limit: usize) -> Counted {
        self.count.fetch_add(1, Ordering::AcqRel);
        Counted { crowd: self.clone(), limit }
    }

    fn has_room(&self, limit: usize) -> bool {
        self.count.load(Ordering::Acquire) < limit
    }
}

/// One of a crowd.
pub(crate) struct Counted {
    crowd: Arc<Crowd>,
    limit: usize,
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.crowd.count.fetch_sub(1, Ordering::AcqRel) <= self.limit {
            self.crowd.fewer.notify_one();
        }
    }
}

/// What a condition's run answers, and what it depends on.
pub(crate) fn condition_answer(name: &str, record: Option<RunRecord>) -> Answered {
    let Some(record) = record else {
        return Err(failure(FailureKind::Crash, name, "there is no answer")).into();
    };
    let answer = match record.result {
        Ok(Value::Bool(answer)) => Ok(answer),
        Ok(_) => Err(failure(FailureKind::WrongResult, name, "the answer is no boolean")),
        Err(failure) => Err(failure),
    };
    match &answer {
        // A run that did not come to its own end may not say what it would have read.
        Err(failure) if !failure.kind.starts_remedies() => answer.into(),
        Ok(_) | Err(_) => Answered { answer, reads: reads(&record.claims_read) },
    }
}

fn reads(claims: &[String]) -> Reads {
    Reads::of(claims.iter().map(String::as_str))
}

/// What the runs of entitlement scripts answer; each its own.
pub(crate) fn lists(records: Vec<RunRecord>) -> ScriptAnswers {
    let answer = |record: RunRecord| {
        let list = record.result.and_then(|value| strings(value, &record.script));
        (record.script.to_string(), list)
    };
    records.into_iter().map(answer).collect()
}

/// What the runs of app shortcut scripts answer; each its own, in order.
pub(crate) fn objects(records: Vec<RunRecord>) -> impl Iterator<Item = Result<Vec<Value>, Failure>> {
    records.into_iter().map(|record| match record.result? {
        Value::Array(items) => Ok(items),
        _ => Err(failure(FailureKind::WrongResult, &record.script, "the answer is no list")),
    })
}

/// A script as the sandbox takes it.
pub(crate) fn script(name: &str, kind: ScriptKind, source: &str) -> Script {
    Script { name: name.into(), kind, source: source.into() }
}

/// A run that came to nothing here.
pub(crate) fn failure(kind: FailureKind, script: &str, message: &str) -> Failure {
    Failure { kind, script: script.to_owned(), message: message.to_owned(), line: None, column: None }
}

/// Whole milliseconds, as records tell them.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn strings(value: Value, script: &str) -> Result<Vec<String>, Failure> {
    let wrong = || failure(FailureKind::WrongResult, script, "the answer is no list of texts");
    let Value::Array(items) = value else { return Err(wrong()) };
    let text = |item| if let Value::String(text) = item { Ok(text) } else { Err(wrong()) };
    items.into_iter().map(text).collect()
}

/// Sessions that a wave has asking at once: enough to keep all workers busy, and few enough for others to slip in between.
const CROWD: usize = 64;

/// Questions a wave has waiting at once: enough to keep workers and servers busy, and so few that each is asked within some
/// seconds. A question that waits keeps its session from asking the same again.
const LATE: usize = 48;

/// What the names of all functions that call out begin with (D 7.2).
const HTTP_FUNCTIONS: &str = "http";

/// Batches handed to the sandbox at once: with those that call out, below its queue, so that none is refused for a crowd of
/// our own making.
const MAX_BATCHES: usize = 512;

/// Batches that may call out, handed to the sandbox at once.
const MAX_CALLING_BATCHES: usize = 256;
