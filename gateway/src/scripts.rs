//! Scripts on a gateway: conditions and entitlement scripts, run by the sandbox, with an answer in every case.

use std::sync::Arc;

use engine::{
    rules::ScriptAnswers,
    script::{Failure, FailureKind, ScriptKind},
    session::Answer,
};
use sandbox::{Batch, RunRecord, Sandbox, Script};
use serde_json::Value;
use time::OffsetDateTime;
use tokio::sync::Semaphore;

/// Runs scripts; an edit that concerns every session queues here and not in the sandbox, whose full queue would refuse.
pub(crate) struct Scripts {
    sandbox: Sandbox,
    turns: Semaphore,
}

impl Scripts {
    pub(crate) fn new(sandbox: Sandbox) -> Self {
        Self { sandbox, turns: Semaphore::new(MAX_BATCHES) }
    }

    /// Asks a condition.
    pub(crate) async fn condition(&self, script: Script, claims: Arc<Value>, now: OffsetDateTime) -> Answer {
        let name = script.name.clone();
        match self.run(vec![script], claims, now).await.pop().map(|record| record.result) {
            Some(Ok(Value::Bool(answer))) => Ok(answer),
            Some(Ok(_)) => Err(failure(FailureKind::WrongResult, &name, "the answer is no boolean")),
            Some(Err(failure)) => Err(failure),
            None => Err(failure(FailureKind::Crash, &name, "there is no answer")),
        }
    }

    /// Asks entitlement scripts; each gets its own answer.
    pub(crate) async fn lists(&self, scripts: Vec<Script>, claims: Arc<Value>, now: OffsetDateTime) -> ScriptAnswers {
        if scripts.is_empty() {
            return ScriptAnswers::new();
        }
        let records = self.run(scripts, claims, now).await;
        let answer = |record: RunRecord| {
            let list = record.result.and_then(|value| strings(value, &record.script));
            (record.script.to_string(), list)
        };
        records.into_iter().map(answer).collect()
    }

    /// Ends the workers.
    pub(crate) async fn stop(&self) {
        self.sandbox.clone().stop().await;
    }

    async fn run(&self, scripts: Vec<Script>, claims: Arc<Value>, now: OffsetDateTime) -> Vec<RunRecord> {
        let _turn = self.turns.acquire().await;
        let batch = Batch::new(claims, now, scripts, Arc::from([]));
        self.sandbox.evaluate(batch).await
    }
}

/// A script as the sandbox takes it.
pub(crate) fn script(name: &str, kind: ScriptKind, source: &str) -> Script {
    Script { name: name.into(), kind, source: source.into() }
}

pub(crate) fn failure(kind: FailureKind, script: &str, message: &str) -> Failure {
    Failure { kind, script: script.to_owned(), message: message.to_owned(), line: None, column: None }
}

fn strings(value: Value, script: &str) -> Result<Vec<String>, Failure> {
    let wrong = || failure(FailureKind::WrongResult, script, "the answer is no list of texts");
    let Value::Array(items) = value else { return Err(wrong()) };
    let text = |item| if let Value::String(text) = item { Ok(text) } else { Err(wrong()) };
    items.into_iter().map(text).collect()
}

/// Batches handed to the sandbox at once: below its queue, so that none is refused for a crowd of our own making.
const MAX_BATCHES: usize = 512;
