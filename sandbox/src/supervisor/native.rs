//! The native lane: scripts that the engine evaluates by itself, in process, because it covers all they use exactly.
//!
//! What is known of a script comes from the tree an admission worker made, never from its text. Scripts read on save are known at once;
//! others are read in the background after they were seen a few times, one at a time and at a tenth of a core.
//! A native run has no side effect, so one that gives up is run by a worker as if nothing had happened. Scripts that name an HTTP
//! function begin here too: those who are answered before the call wait for nobody who makes one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use engine::script::lanes::{Lane, analyse};
use engine::script::native::{Program, Reason, compile, compile_beginning};
use engine::script::tree::Tree;
use engine::script::{Failure, FailureKind, ScriptKind};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tokio::sync::Semaphore;

use super::facts::{Facts, SourceHash};
use super::job::{Job, failure};
use super::run::not_started;
use super::{State, admit};
use crate::batch::{LaneChoice, RunRecord, Script};
use crate::worker::sees_criteria;

/// Scripts that wait to be read in the background.
const MAX_QUEUE: usize = 256;
/// The background rests this many times as long as it worked.
const REST: u32 = 9;
/// Bytes of trees and of programs kept, as estimated.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Bytes of tree or program for each byte of source, about.
const GROWTH: usize = 24;

/// What the native lane notes about one text.
#[derive(Default)]
pub(super) struct Notes {
    /// How often it was met without a program, since it was last read.
    met: AtomicU32,
    /// It does not parse.
    is_broken: AtomicBool,
}

/// All that is known of scripts, and who reads more.
pub(super) struct Learning {
    trees: Cache<SourceHash, Arc<Tree>>,
    /// By text, kind and the criteria meant; none for what is not native.
    programs: Cache<SourceHash, Arc<Known>>,
    turn: Semaphore,
    queued: AtomicUsize,
}

/// What came of compiling a script.
struct Known {
    program: Result<Arc<Program>, Reason>,
    /// Claims it and its criteria name.
    claims: Vec<String>,
    /// Bytes of source.
    size: usize,
}

impl Learning {
    pub(super) fn new() -> Self {
        let weigh = |size: usize| u32::try_from(size.saturating_mul(GROWTH)).unwrap_or(u32::MAX);
        let policy = EvictionPolicy::lru;
        Self {
            trees: Cache::builder()
                .max_capacity(MAX_BYTES)
                .weigher(|_, tree: &Arc<Tree>| u32::try_from(tree.body.len().saturating_mul(2048)).unwrap_or(u32::MAX))
                .eviction_policy(policy())
                .build(),
            programs: Cache::builder()
                .max_capacity(MAX_BYTES)
                .weigher(move |_, known: &Arc<Known>| if known.program.is_ok() { weigh(known.size) } else { 256 })
                .eviction_policy(policy())
                .build(),
            turn: Semaphore::new(1),
            queued: AtomicUsize::new(0),
        }
    }

    /// The tree of a text, when it was read.
    pub(super) fn tree(&self, facts: &Facts) -> Option<Arc<Tree>> {
        self.trees.get(&facts.hash)
    }

    pub(super) fn learned(&self, facts: &Facts, tree: &Arc<Tree>) {
        self.trees.insert(facts.hash, Arc::clone(tree));
    }
}

/// The record of a run in the native lane; none when the script is to go to a worker.
pub(super) fn run(job: &Job, index: usize) -> Option<RunRecord> {
    let (script, facts) = job.script(index)?;
    if !facts.secrets.is_empty() {
        return None;
    }
    let Some(known) = known(job, index) else {
        meet(job, index, facts);
        return None;
    };
    evaluate(job, script, &known, known.program.as_ref().ok()?)
}

/// The same for a run that waited for its turn to call out: what it would fetch may be in the cache by now.
pub(super) fn run_after_wait(job: &Job, index: usize) -> Option<RunRecord> {
    if job.batch.lane != LaneChoice::Auto {
        return None;
    }
    let (script, facts) = job.script(index)?;
    let known = known(job, index).filter(|_| facts.secrets.is_empty())?;
    evaluate(job, script, &known, known.program.as_ref().ok()?)
}

/// The record of a run that may go nowhere else: the scripts are read first, and what stands against the lane is the failure.
pub(super) async fn run_only(job: &Job, index: usize) -> RunRecord {
    let Some((script, _)) = job.script(index) else {
        return job.failed(index, FailureKind::Crash, "there is no such script", Duration::ZERO);
    };
    let not_native =
        |what: &str| failure(&script.name, FailureKind::Syntax, format!("not for the native lane: {what}"));
    if job.any_fact(index, |facts| facts.names_http || !facts.secrets.is_empty()) {
        return not_started(job, index, not_native("it names a secret or an HTTP function"));
    }
    if known(job, index).is_none()
        && let Err(failure) = read_all(&job.state, &texts(job, index)).await
    {
        return not_started(job, index, failure);
    }
    let Some(known) = known(job, index) else {
        return not_started(job, index, not_native("a criteria script it calls could not be read"));
    };
    match &known.program {
        Ok(program) => evaluate(job, script, &known, program)
            .unwrap_or_else(|| not_started(job, index, not_native("this run met something it does not cover"))),
        Err(Reason { span, what }) => {
            let start = span.map(|span| span.start);
            let failure = Failure {
                line: start.map(|start| start.line),
                column: start.map(|start| start.column),
                ..not_native(what)
            };
            not_started(job, index, failure)
        }
    }
}

fn evaluate(job: &Job, script: &Script, known: &Known, program: &Program) -> Option<RunRecord> {
    let started = Instant::now();
    let cache = job.state.cache(job.batch.purpose);
    let value = program.run_beside(&job.batch.claims, job.now_ms(), &|key| cache.find(key)).ok()?;
    Some(RunRecord {
        script: Arc::clone(&script.name),
        result: Ok(value),
        output: String::new(),
        duration: started.elapsed(),
        instructions: 0,
        lane: Lane::Native,
        claims_read: known.claims.clone(),
        http_calls: Vec::new(),
        audit: Vec::new(),
    })
}

/// What came of compiling the script; nothing while a text has not been read.
fn known(job: &Job, index: usize) -> Option<Arc<Known>> {
    let (script, facts) = job.script(index)?;
    let learning = &job.state.learning;
    let key = key(job, script, facts);
    if let Some(known) = learning.programs.get(&key) {
        return Some(known);
    }
    let known = Arc::new(compile_with_criteria(job, index)?);
    learning.programs.insert(key, Arc::clone(&known));
    Some(known)
}

/// A name for the script, its kind and the criteria it means.
fn key(job: &Job, script: &Script, facts: &Facts) -> SourceHash {
    let with_criteria = if sees_criteria(script.kind) { job.criteria.key(facts) } else { facts.hash };
    with_criteria.of_kind(script.kind)
}

/// Compiles the script over its criteria; nothing while a text has not been read.
fn compile_with_criteria(job: &Job, index: usize) -> Option<Known> {
    let (script, facts) = job.script(index)?;
    let learning = &job.state.learning;
    let tree = learning.tree(facts)?;
    let mut trees = HashMap::new();
    let mut claims = analyse(&tree, &|_| true).claims;
    for at in job.meant(index).iter() {
        let (_, facts) = job.criteria.at(*at)?;
        if facts.native.is_broken.load(Ordering::Relaxed) {
            continue;
        }
        trees.insert(*at, learning.tree(facts)?);
    }
    let criteria = Criteria { job, trees, done: RefCell::default() };
    let by_name = |name: &str| sees_criteria(script.kind).then(|| criteria.program(name)).flatten();
    // A script that may call out is asked for its answer up to there; all others are native as a whole or not at all.
    let compile = if facts.names_http { compile_beginning } else { compile };
    let program = compile(&tree, script.kind, &by_name);
    for (at, _) in criteria.done.borrow().iter().filter(|(_, program)| program.is_some()) {
        claims.extend(criteria.trees.get(at).map(|tree| analyse(tree, &|_| true).claims).into_iter().flatten());
    }
    Some(Known { program: program.map(Arc::new), claims: claims.into_iter().collect(), size: script.source.len() })
}

/// The criteria a script means, compiled as they are asked for.
struct Criteria<'a> {
    job: &'a Job,
    trees: HashMap<usize, Arc<Tree>>,
    /// None for one that is not native or is being compiled: criteria that call each other are not.
    done: RefCell<HashMap<usize, Option<Arc<Program>>>>,
}

impl Criteria<'_> {
    fn program(&self, name: &str) -> Option<Arc<Program>> {
        let at = self.job.criteria.place(name)?;
        if let Some(known) = self.done.borrow().get(&at) {
            return known.clone();
        }
        self.done.borrow_mut().insert(at, None);
        let tree = self.trees.get(&at)?;
        let program = compile(tree, ScriptKind::Criteria, &|name| self.program(name)).ok().map(Arc::new);
        self.done.borrow_mut().insert(at, program.clone());
        program
    }
}

/// The script and its criteria, with their facts.
fn texts(job: &Job, index: usize) -> Vec<(Script, Arc<Facts>)> {
    let meant = job.meant(index);
    let criteria = meant.iter().filter_map(|at| job.criteria.at(*at));
    job.script(index).into_iter().chain(criteria).map(|(script, facts)| (script.clone(), Arc::clone(facts))).collect()
}

/// Notes that a script was met; one met often is read in the background.
fn meet(job: &Job, index: usize, facts: &Facts) {
    let state = &job.state;
    if facts.native.is_broken.load(Ordering::Relaxed)
        || facts.native.met.fetch_add(1, Ordering::Relaxed).saturating_add(1) != state.pool.config.learn_after
    {
        return;
    }
    if state.learning.queued.fetch_add(1, Ordering::Relaxed) >= MAX_QUEUE {
        state.learning.queued.fetch_sub(1, Ordering::Relaxed);
        facts.native.met.store(0, Ordering::Relaxed);
        return;
    }
    let (state, texts) = (Arc::downgrade(state), texts(job, index));
    tokio::spawn(async move {
        let Some(state) = state.upgrade() else { return };
        if let Ok(_turn) = state.learning.turn.acquire().await {
            let started = Instant::now();
            // What is wrong with a script its runs tell.
            let _ = read_all(&state, &texts).await;
            tokio::time::sleep(started.elapsed() * REST).await;
        }
        state.learning.queued.fetch_sub(1, Ordering::Relaxed);
        texts.iter().for_each(|(_, facts)| facts.native.met.store(0, Ordering::Relaxed));
    });
}

/// Reads what is not known yet. The first failure is the script's own, if that is what fails.
async fn read_all(state: &State, texts: &[(Script, Arc<Facts>)]) -> Result<(), Failure> {
    let mut first = Ok(());
    for (script, facts) in texts {
        if let Err(failure) = admit::tree(state, script, facts).await {
            if failure.kind == FailureKind::Syntax {
                facts.native.is_broken.store(true, Ordering::Relaxed);
            }
            first = first.and(Err(failure));
        }
    }
    first
}
