//! Drives batches through workers: sends, waits with an eye on the clocks, kills what overstays, goes on with the rest.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::script::lanes::Lane;
use engine::script::{Failure, FailureKind, ScriptKind};
use tokio::time::timeout;

use super::pool::Pool;
use super::process::Worker;
use crate::batch::{Admission, Batch, RunRecord, Script};
use crate::config::{MAX_BATCH, MAX_CLAIMS, MAX_SOURCE, SandboxConfig};
use crate::wire::{AdmitRequest, Answer, BatchRequest, FromWorker, Limits, ToWorker, WireScript};
use crate::worker::{sees_criteria, words};

/// Most bytes of sources in one request; two of them and the claims fit into a frame.
const MAX_SOURCES: usize = 4 * 1024 * 1024;
/// Workers tried when one is gone before it got its work.
const MAX_TRIES: usize = 4;
/// Processor time after which a worker is replaced, well before the kernel would end it.
const WORKER_LIFE: Duration = Duration::from_secs(1800);
/// Slack after a clock should have run out, so that it has.
const SLACK: Duration = Duration::from_millis(1);

/// One record per script of the batch, in order.
pub(super) async fn evaluate(pool: &Pool, batch: &Batch) -> Vec<RunRecord> {
    let all = |kind, message: &str| {
        batch.scripts.iter().map(|script| failed(script, kind, message.to_owned(), Duration::ZERO)).collect()
    };
    if batch.scripts.is_empty() {
        return Vec::new();
    }
    let claims = batch.claims.to_string();
    if claims.len() > MAX_CLAIMS {
        return all(FailureKind::Memory, "the claims are larger than 4 MiB");
    }
    let Some(_slot) = pool.slot().await else {
        return all(FailureKind::Overloaded, "too many scripts are waiting");
    };
    let mut drive = Drive { pool, batch, claims: claims.as_bytes(), records: Vec::with_capacity(batch.scripts.len()) };
    while drive.records.len() < batch.scripts.len() {
        drive.part().await;
    }
    drive.records
}

/// Reads one script in a worker.
pub(super) async fn admit(pool: &Pool, script: &Script) -> Result<Admission, Failure> {
    let refuse = |kind, message: String| Err(failure(script, kind, message));
    let Some(_slot) = pool.slot().await else {
        return refuse(FailureKind::Overloaded, "too many scripts are waiting".to_owned());
    };
    let request = ToWorker::Admit(AdmitRequest { limits: limits(&pool.config), script: wire(script) });
    let Some(mut worker) = begin(pool, &request).await else {
        return refuse(FailureKind::Overloaded, "no script worker is ready".to_owned());
    };
    match watched(&mut worker, &pool.config).await {
        Ended::Said(FromWorker::Admission(admission)) => {
            pool.put(worker);
            admission
        }
        Ended::Said(_) => refuse(FailureKind::Crash, ENDED.to_owned()),
        Ended::Killed(kind, message) => refuse(kind, message),
    }
}

/// A batch on its way.
struct Drive<'a> {
    pool: &'a Pool,
    batch: &'a Batch,
    claims: &'a [u8],
    records: Vec<RunRecord>,
}

impl<'a> Drive<'a> {
    /// Sends what is left, as much as fits, to one worker; returns when that is answered or the worker is gone.
    async fn part(&mut self) {
        let part = self.next_part();
        if part.is_empty() {
            self.refuse_next();
            return;
        }
        let request = ToWorker::Batch(BatchRequest {
            limits: limits(&self.pool.config),
            now_ms: i64::try_from(self.batch.now.unix_timestamp_nanos().div_euclid(1_000_000)).unwrap_or(0),
            claims: self.claims,
            criteria: criteria_for(part, &self.batch.criteria),
            scripts: part.iter().map(wire).collect(),
        });
        let Some(mut worker) = begin(self.pool, &request).await else {
            let refused = part.iter().map(|script| {
                failed(script, FailureKind::Overloaded, "no script worker is ready".to_owned(), Duration::ZERO)
            });
            self.records.extend(refused);
            return;
        };
        for script in part {
            let started = Instant::now();
            match watched(&mut worker, &self.pool.config).await {
                Ended::Said(FromWorker::Answer(answer)) => {
                    worker.cpu = answer.cpu;
                    let retire = answer.retire || answer.cpu > WORKER_LIFE;
                    self.records.push(record(script, answer));
                    if retire {
                        return;
                    }
                }
                Ended::Said(_) => {
                    self.records.push(failed(script, FailureKind::Crash, ENDED.to_owned(), started.elapsed()));
                    return;
                }
                Ended::Killed(kind, message) => {
                    self.records.push(failed(script, kind, message, started.elapsed()));
                    return;
                }
            }
        }
        self.pool.put(worker);
    }

    /// The next scripts that fit into one request; none when the very next one is too long.
    fn next_part(&self) -> &'a [Script] {
        let left = self.batch.scripts.get(self.records.len()..).unwrap_or_default();
        let mut bytes = 0_usize;
        let fits = |script: &&Script| {
            bytes = bytes.saturating_add(script.source.len()).saturating_add(script.name.len());
            script.source.len() <= MAX_SOURCE && script.name.len() <= MAX_SOURCE && bytes <= MAX_SOURCES
        };
        let count = left.iter().take(MAX_BATCH).take_while(fits).count();
        left.get(..count).unwrap_or_default()
    }

    fn refuse_next(&mut self) {
        if let Some(script) = self.batch.scripts.get(self.records.len()) {
            self.records.push(failed(
                script,
                FailureKind::Syntax,
                "the script is longer than 64 KiB".to_owned(),
                Duration::ZERO,
            ));
        }
    }
}

/// How waiting for one frame ended.
enum Ended {
    Said(FromWorker),
    /// The worker must not be used again.
    Killed(FailureKind, String),
}

const ENDED: &str = "the worker process ended";

/// Gives `request` to a worker; one that turns out to be gone before it took the request has not run anything.
async fn begin(pool: &Pool, request: &ToWorker<'_>) -> Option<Worker> {
    for _ in 0..MAX_TRIES {
        let mut worker = pool.take().await?;
        if let Ok(Ok(())) = timeout(pool.config.wall_deadline, worker.send(request)).await {
            return Some(worker);
        }
    }
    None
}

/// Waits for one frame as long as the run keeps within its wall time and processor time.
async fn watched(worker: &mut Worker, config: &SandboxConfig) -> Ended {
    let (meter, cpu_before) = (worker.cpu_meter(), worker.cpu);
    let started = Instant::now();
    let mut receiving = std::pin::pin!(worker.receive());
    let mut wait = config.cpu_budget.min(config.wall_deadline) + SLACK;
    loop {
        match timeout(wait, &mut receiving).await {
            Ok(Ok(FromWorker::OutOfMemory)) => {
                return Ended::Killed(FailureKind::Memory, "reached the memory limit".to_owned());
            }
            Ok(Ok(message)) => return Ended::Said(message),
            Ok(Err(_)) => return Ended::Killed(FailureKind::Crash, ENDED.to_owned()),
            Err(_) => {}
        }
        let wall = started.elapsed();
        if wall >= config.wall_deadline {
            return Ended::Killed(
                FailureKind::Timeout,
                format!("did not finish within {} ms", config.wall_deadline.as_millis()),
            );
        }
        // A kernel that does not tell processor time makes wall time count as such.
        let cpu = meter.read().map_or(wall, |cpu| cpu.saturating_sub(cpu_before));
        if cpu >= config.cpu_budget {
            return Ended::Killed(
                FailureKind::Timeout,
                format!("used more than {} ms of CPU time", config.cpu_budget.as_millis()),
            );
        }
        wait = (config.cpu_budget - cpu).min(config.wall_deadline - wall) + SLACK;
    }
}

/// The criteria that any of these scripts names, and those that these name in turn.
fn criteria_for<'a>(scripts: &'a [Script], criteria: &'a Arc<[Script]>) -> Vec<WireScript<'a>> {
    if criteria.is_empty() || !scripts.iter().any(|script| sees_criteria(script.kind)) {
        return Vec::new();
    }
    let by_name: HashMap<&str, &Script> = criteria.iter().map(|script| (script.name.as_ref(), script)).collect();
    let mut found: BTreeMap<&str, &Script> = BTreeMap::new();
    let mut unread: Vec<&str> =
        scripts.iter().filter(|script| sees_criteria(script.kind)).map(|script| script.source.as_ref()).collect();
    let mut bytes = 0_usize;
    while let Some(text) = unread.pop() {
        for word in words(text) {
            let Some(script) =
                by_name.get(word).filter(|script| script.source.len() <= MAX_SOURCE && !found.contains_key(word))
            else {
                continue;
            };
            bytes = bytes.saturating_add(script.source.len());
            if bytes <= MAX_SOURCES {
                found.insert(&script.name, script);
                unread.push(&script.source);
            }
        }
    }
    found.into_values().map(|script| WireScript { kind: ScriptKind::Criteria, ..wire(script) }).collect()
}

fn limits(config: &SandboxConfig) -> Limits {
    Limits { instructions: config.instructions, memory: config.memory }
}

fn wire(script: &Script) -> WireScript<'_> {
    WireScript { name: &script.name, kind: script.kind, source: &script.source }
}

fn record(script: &Script, answer: Answer) -> RunRecord {
    let Answer { result, output, duration, instructions, lane, claims_read, cpu: _, retire: _ } = answer;
    RunRecord {
        script: Arc::clone(&script.name),
        result,
        output,
        duration,
        instructions,
        lane,
        claims_read,
        http_calls: Vec::new(),
        audit: Vec::new(),
    }
}

fn failed(script: &Script, kind: FailureKind, message: String, duration: Duration) -> RunRecord {
    RunRecord {
        script: Arc::clone(&script.name),
        result: Err(failure(script, kind, message)),
        output: String::new(),
        duration,
        instructions: 0,
        lane: Lane::Fresh,
        claims_read: Vec::new(),
        http_calls: Vec::new(),
        audit: Vec::new(),
    }
}

fn failure(script: &Script, kind: FailureKind, message: String) -> Failure {
    Failure { kind, script: script.name.to_string(), message, line: None, column: None }
}
