//! Workers die at any moment, and still nobody is allowed anything that no completed evaluation allowed.
//!
//! Every script decides by a rule this test knows as well. While batches run in all lanes, some of them waiting for HTTP,
//! a second task kills random workers. Each evaluation must end in exactly one record: the right answer, or a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use engine::script::{FailureKind, ScriptKind};
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{
    Batch, HttpBackend, HttpFuture, HttpOutcome, HttpRequest, Lane, LaneChoice, RunRecord, Sandbox, SandboxConfig,
    Script,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::hostile::worker;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_killed_worker_ever_allows_anything() {
    let evaluations = if std::env::var_os("PORTCULLIS_LONG").is_some() { 1_000_000 } else { 20_000 };
    let mut config = SandboxConfig::new(worker());
    (config.workers, config.spares) = (3, 2);
    config.http = Arc::new(Parity);
    // Killed workers are started again one after the other; nobody may lose patience with that.
    config.queue_wait = Duration::from_secs(60);
    let sandbox = Sandbox::start(config).await.unwrap();
    let started = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn(kill_at_random(sandbox.clone(), Arc::clone(&over)));
    let left = Arc::new(AtomicU64::new(evaluations));
    let clients: Vec<_> = (1..=CLIENTS)
        .map(|seed| {
            tokio::spawn(evaluate_until_done(
                sandbox.clone(),
                Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
                Arc::clone(&left),
            ))
        })
        .collect();
    let mut total = Tally::default();
    for client in clients {
        total.add(client.await.unwrap());
    }
    over.store(true, Ordering::Relaxed);
    let kills = killer.await.unwrap();
    let ends: Vec<String> = total.ends.iter().map(|(end, count)| format!("{end} {count}")).collect();
    println!(
        "{} evaluations in {:.1} s, {kills} workers killed: {}; {} wrong",
        total.evaluations,
        started.elapsed().as_secs_f64(),
        ends.join(", "),
        total.wrong.len(),
    );
    assert!(total.wrong.is_empty(), "{:#?}", total.wrong);
    assert!(total.evaluations >= evaluations);
    assert!(kills > evaluations / 1000, "only {kills} workers were killed");
    assert!(total.ends.contains_key("crash"), "nobody was killed in a run");
    sandbox.stop().await;
}

/// Kills a random worker every few milliseconds; says how many.
async fn kill_at_random(sandbox: Sandbox, over: Arc<AtomicBool>) -> u64 {
    let mut dice = Dice(0x5eed);
    let mut kills = 0;
    while !over.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(5 + dice.below(60))).await;
        let mut ids = sandbox.worker_ids();
        ids.sort_unstable();
        // With fewer left, the dead are still being replaced.
        if ids.len() < 3 {
            continue;
        }
        let unlucky = ids[usize::try_from(dice.below(ids.len() as u64)).unwrap()];
        let unlucky = Pid::from_raw(i32::try_from(unlucky).unwrap()).unwrap();
        kills += u64::from(kill_process(unlucky, Signal::KILL).is_ok());
    }
    kills
}

#[derive(Default)]
struct Tally {
    evaluations: u64,
    ends: BTreeMap<&'static str, u64>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.evaluations += other.evaluations;
        other.ends.into_iter().for_each(|(end, count)| *self.ends.entry(end).or_default() += count);
        self.wrong.extend(other.wrong);
    }

    /// Holds a record against what the rule says.
    fn judge(&mut self, name: &str, record: &RunRecord, allowed: bool) {
        self.evaluations += 1;
        let end = match &record.result {
            Ok(_) => record.lane.as_str(),
            Err(failure) => failure.kind.as_str(),
        };
        *self.ends.entry(end).or_default() += 1;
        let right = match &record.result {
            Ok(result) => *result == json!(allowed),
            Err(failure) => failure.kind == FailureKind::Crash,
        };
        if !right || *record.script != *name {
            self.wrong.push(format!("`{name}` must say {allowed}: {record:?}"));
        }
    }
}

async fn evaluate_until_done(sandbox: Sandbox, mut dice: Dice, left: Arc<AtomicU64>) -> Tally {
    let mut tally = Tally::default();
    loop {
        let count = 1 + dice.below(20);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| Some(left.saturating_sub(count))) == Ok(0) {
            return tally;
        }
        let level = dice.below(100);
        let lane = match dice.below(10) {
            0..=6 => LaneChoice::Auto,
            7..=8 => LaneChoice::Only(Lane::Warm),
            _ => LaneChoice::Only(Lane::Fresh),
        };
        let picked: Vec<(Script, bool)> = (0..count).map(|at| rule(&mut dice, at, level, lane)).collect();
        let (scripts, allowed): (Vec<Script>, Vec<bool>) = picked.into_iter().unzip();
        let names: Vec<Arc<str>> = scripts.iter().map(|script| Arc::clone(&script.name)).collect();
        let mut batch = Batch::new(claims(level), OffsetDateTime::UNIX_EPOCH, scripts, Arc::new([]));
        batch.lane = lane;
        batch.subject = format!("user {}", dice.below(50)).into();
        let records = sandbox.evaluate(batch).await;
        if records.len() != names.len() {
            tally.wrong.push(format!("{} records for {} scripts", records.len(), names.len()));
        }
        for ((record, name), allowed) in records.iter().zip(&names).zip(allowed) {
            tally.judge(name, record, allowed);
        }
    }
}

fn claims(level: u64) -> Arc<Value> {
    let tags: Vec<String> = (0..10).map(|at| format!("tag-{}", level + at)).collect();
    Arc::new(json!({ "user": { "level": level, "tags": tags }, "device": {}, "system": {} }))
}

/// A script, and what it must say of a user of this level.
fn rule(dice: &mut Dice, at: u64, level: u64, lane: LaneChoice) -> (Script, bool) {
    let number = dice.below(100);
    // What is not proved to change nothing cannot be asked to run warm.
    let forms = if lane == LaneChoice::Only(Lane::Warm) { WARM_FORMS } else { FORMS };
    let (source, allowed) = match dice.below(forms) {
        0..=4 => (format!("return claims.user.level >= {number};"), level >= number),
        5..=9 => (
            format!("return claims.user.tags.some(function (tag) {{ return tag === 'tag-{number}'; }});"),
            (level..level + 10).contains(&number),
        ),
        10..=12 => (format!("return {number} < 0;"), false),
        13 => (
            format!("var sum = 0;\nfor (var i = 0; i < 20000; i++) {{ sum += i % 7; }}\nreturn sum > 0 && claims.user.level < {number};"),
            level < number,
        ),
        14..=15 => (
            format!("seen = (typeof seen === 'undefined' ? 0 : seen) + 1;\nclaims.user.level += 1;\nreturn seen === 1 && claims.user.level > {number};"),
            level + 1 > number,
        ),
        16 => (
            "var answer = httpGet('http://parity.test/' + claims.user.level);\nreturn answer !== null && answer.statusCode === 200 && answer.data === 'even';".to_owned(),
            level.is_multiple_of(2),
        ),
        _ => (
            format!("claims.user.tags.push('tag-{number}');\nfor (var i = 0; i < 3000; i++) {{ claims.user.level += 0; }}\nreturn claims.user.tags.length === 12;"),
            false,
        ),
    };
    let script = Script { name: format!("rule {at}").into(), kind: ScriptKind::Policy, source: source.into() };
    (script, allowed)
}

/// Forms of rules, and how many of them come first that change nothing.
const FORMS: u64 = 18;
const WARM_FORMS: u64 = 14;

/// Says whether the number at the end of the URL is even, after a while.
struct Parity;

impl HttpBackend for Parity {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(async move {
            let number: u64 = request.url.rsplit('/').next().and_then(|text| text.parse().ok()).unwrap_or(1);
            tokio::time::sleep(Duration::from_millis(number % 8)).await;
            let body = if number.is_multiple_of(2) { "even" } else { "odd" };
            HttpOutcome::Answer { status: 200, body: body.to_owned() }
        })
    }
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) % bound
    }
}

const CLIENTS: u64 = 8;
