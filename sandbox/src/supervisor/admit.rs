//! Reading scripts: each in a worker of its own that reads nothing else before or after, because a parser is what a hostile text attacks first.
//!
//! The worker answers our own syntax tree, whose form is checked on arrival; everything said about the script follows from the tree, here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use engine::script::lanes::analyse;
use engine::script::tree::{Span, Tree};
use engine::script::{Failure, FailureKind, admission};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::State;
use super::clock::{Verdict, Watch};
use super::facts::Facts;
use super::job::{failure, is_short, limits};
use super::process::Worker;
use super::secret::with_dummies;
use super::session::{ENDED, MEMORY};
use crate::batch::{Admission, Script};
use crate::wire::{AdmitRequest, FromWorker, ToWorker, WireScript};

/// Scripts read at once.
const AT_ONCE: usize = 2;
/// Longest wait for a turn.
const WAIT: Duration = Duration::from_secs(10);

/// Whose turn it is to read.
pub(super) struct Desk {
    turns: Semaphore,
    waiting: AtomicUsize,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self { turns: Semaphore::new(AT_ONCE), waiting: AtomicUsize::new(0) }
    }
}

/// Reads a script and says what is wrong with it.
pub(super) async fn admit(state: &State, script: &Script) -> Result<Admission, Failure> {
    if !is_short(script) {
        return Err(failure(&script.name, FailureKind::Syntax, "the script is longer than 64 KiB".to_owned()));
    }
    let facts = state.facts.of(script);
    let tree = tree(state, script, &facts).await?;
    admission::check(&tree).map_err(|problem| {
        let start = problem.span.map(|Span { start, .. }| start);
        Failure {
            kind: FailureKind::Syntax,
            script: script.name.to_string(),
            message: problem.message,
            line: start.map(|start| start.line),
            column: start.map(|start| start.column),
        }
    })?;
    let analysis = analyse(&tree, &|_| true);
    Ok(Admission { tree, analysis })
}

/// The script's tree, read once for each text.
pub(super) async fn tree(state: &State, script: &Script, facts: &Facts) -> Result<Arc<Tree>, Failure> {
    if let Some(tree) = state.learning.tree(facts) {
        return Ok(tree);
    }
    let overloaded = |message: &str| failure(&script.name, FailureKind::Overloaded, message.to_owned());
    if state.reading.waiting.fetch_add(1, Ordering::Relaxed) >= state.pool.config.queue {
        state.reading.waiting.fetch_sub(1, Ordering::Relaxed);
        return Err(overloaded("too many scripts wait to be read"));
    }
    let turn = timeout(WAIT, state.reading.turns.acquire()).await;
    state.reading.waiting.fetch_sub(1, Ordering::Relaxed);
    let Ok(Ok(_turn)) = turn else { return Err(overloaded("too many scripts wait to be read")) };
    let worker = state.pool.one_shot().await.ok_or_else(|| overloaded("no script worker could be started"))?;
    let tree = Arc::new(read(state, worker, script, facts).await?);
    state.learning.learned(facts, &tree);
    Ok(tree)
}

async fn read(state: &State, mut worker: Worker, script: &Script, facts: &Facts) -> Result<Tree, Failure> {
    let config = &state.pool.config;
    let refuse = |kind, message: &str| failure(&script.name, kind, message.to_owned());
    let source = with_dummies(&script.source, &facts.secrets);
    let request = WireScript { name: &script.name, kind: script.kind, source: &source, secret: false };
    let message = ToWorker::Admit(AdmitRequest { limits: limits(config), script: request });
    let mut watch = Watch::new(config, &worker, 1);
    if !matches!(timeout(config.wall_deadline, worker.send(&message)).await, Ok(Ok(()))) {
        return Err(refuse(FailureKind::Crash, ENDED));
    }
    let mut look_at = Instant::now() + watch.first_wait();
    loop {
        match timeout_at(look_at, worker.receive()).await {
            Ok(Ok(FromWorker::Admission(answer))) => {
                return answer.map_err(|said| Failure { script: script.name.to_string(), ..said });
            }
            Ok(Ok(FromWorker::OutOfMemory)) => return Err(refuse(FailureKind::Memory, MEMORY)),
            Ok(Ok(FromWorker::Hello(_) | FromWorker::Answer(_) | FromWorker::Call(_)) | Err(_)) => {
                return Err(refuse(FailureKind::Crash, ENDED));
            }
            Err(_) => match watch.check(&worker) {
                Verdict::Wait(wait) => look_at = Instant::now() + wait,
                Verdict::Over(kind, message) => return Err(refuse(kind, &message)),
            },
        }
    }
}
