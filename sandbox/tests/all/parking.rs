//! Scripts that wait for HTTP: they hold nobody up, keep to their quotas, and their clocks stand where they should.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::script::{FailureKind, ScriptKind};
use sandbox::{Batch, HttpBackend, HttpFuture, HttpOutcome, HttpRequest, Lane, RunRecord, Sandbox, SandboxConfig};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::helpers::{batch, config, kind, policy, run, until};

/// Answers a call for each permit it is given; counts who waits.
pub struct Gate {
    open: Semaphore,
    arrived: AtomicUsize,
    /// Calls under way by script, and the most there ever were.
    now: Mutex<HashMap<String, (usize, usize)>>,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::new(Self { open: Semaphore::new(0), arrived: AtomicUsize::new(0), now: Mutex::default() })
    }

    fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    fn most(&self, script: &str) -> usize {
        self.now.lock().unwrap().get(script).map_or(0, |(_, most)| *most)
    }

    fn open(&self) {
        self.open.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

impl HttpBackend for Gate {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(async move {
            {
                let mut now = self.now.lock().unwrap();
                let entry = now.entry(request.script.to_string()).or_default();
                entry.0 += 1;
                entry.1 = entry.1.max(entry.0);
            }
            self.arrived.fetch_add(1, Ordering::SeqCst);
            self.open.acquire().await.unwrap().forget();
            // Whoever may be here at the same time gets the chance to be.
            tokio::task::yield_now().await;
            self.now.lock().unwrap().get_mut(&*request.script).unwrap().0 -= 1;
            HttpOutcome::Answer { status: 200, body: "yes".to_owned() }
        })
    }
}

async fn behind(gate: &Arc<Gate>, change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = config();
    config.http = Arc::clone(gate) as Arc<dyn HttpBackend>;
    change(&mut config);
    Sandbox::start(config).await.unwrap()
}

const ASKS: &str = "var r = httpGet('http://slow.test/', null, 5000); return r !== null && r.data === 'yes';";

fn asks(name: &str, subject: &str) -> Batch {
    let mut batch = batch(vec![crate::helpers::script(name, ScriptKind::Policy, &format!("{ASKS} // {name}"))]);
    batch.subject = subject.into();
    batch
}

fn start(sandbox: &Sandbox, batch: Batch) -> JoinHandle<Vec<RunRecord>> {
    let sandbox = sandbox.clone();
    tokio::spawn(async move { sandbox.evaluate(batch).await })
}

#[tokio::test]
async fn sixty_four_that_wait_hold_nobody_up() {
    let gate = Gate::new();
    let sandbox = behind(&gate, |config| config.parked_per_script = 64).await;
    let waiting: Vec<_> = (0..64).map(|_| start(&sandbox, asks("slow", ""))).collect();
    until("all wait", || gate.arrived() == 64).await;
    assert_eq!(sandbox.metrics().workers_parked, 64);
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(run(&sandbox, ScriptKind::Policy, "return true;").await.result, Ok(json!(true)));
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    gate.open();
    for waited in waiting {
        let record = waited.await.unwrap().remove(0);
        assert_eq!(record.result, Ok(json!(true)));
        assert_eq!((record.http_calls.len(), record.http_calls[0].status), (1, Some(200)));
    }
    assert_eq!(sandbox.metrics().workers_parked, 0);
    until("the workers that replaced them are gone", || sandbox.worker_ids().len() == 3).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn places_are_bounded_in_all_by_script_and_by_subject() {
    for (limit, names, subjects) in [("all", 12, 12), ("script", 1, 12), ("subject", 12, 1)] {
        let gate = Gate::new();
        let sandbox = behind(&gate, |config| match limit {
            "all" => config.parked = 3,
            "script" => config.parked_per_script = 3,
            _ => config.parked_per_subject = 3,
        })
        .await;
        let waiting: Vec<_> = (0..12)
            .map(|at| start(&sandbox, asks(&format!("s{}", at % names), &format!("u{}", at % subjects))))
            .collect();
        until("three wait", || gate.arrived() == 3).await;
        // Nobody but these waits: another run goes through all queues and finds the same.
        run(&sandbox, ScriptKind::Policy, "return true;").await;
        assert_eq!(gate.arrived(), 3, "{limit}");
        gate.open();
        for waited in waiting {
            assert_eq!(waited.await.unwrap().remove(0).result, Ok(json!(true)), "{limit}");
        }
        if names == 1 {
            assert_eq!(gate.most("s0"), 3);
        }
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn who_is_answered_before_the_call_waits_for_nobody() {
    let gate = Gate::new();
    let sandbox = behind(&gate, |config| config.parked_per_script = 1).await;
    let script = crate::helpers::script(
        "s",
        ScriptKind::UserClaim,
        "if (claims.user.username !== 'ana') { return {}; }\n\
         var answer = httpGet('http://slow.test/');\n\
         return { said: answer.data.match(/y.s/)[0] };",
    );
    sandbox.admit(script.clone()).await.unwrap();
    let first = start(&sandbox, batch(vec![script.clone()]));
    until("it waits", || gate.arrived() == 1).await;
    let mut other = batch(vec![script]);
    other.claims = Arc::new(json!({ "user": { "username": "ben" }, "device": {}, "system": {} }));
    let record = sandbox.evaluate(other).await.remove(0);
    assert_eq!((record.result, record.lane), (Ok(json!({})), Lane::Native));
    assert_eq!(gate.arrived(), 1);
    gate.open();
    let record = first.await.unwrap().remove(0);
    assert_eq!((record.result, record.http_calls.len()), (Ok(json!({ "said": "yes" })), 1));
    sandbox.stop().await;
}

#[tokio::test]
async fn what_is_cached_is_answered_without_a_worker() {
    let gate = Gate::new();
    gate.open();
    let sandbox = behind(&gate, |_| {}).await;
    let script = policy(
        "var kept = cache.getIfPresent('kept ' + claims.user.username);\n\
         if (kept === null) {\n\
           kept = [httpGet('http://slow.test/').data, 'it', ['\u{e4}', 1.5, true, null]];\n\
           cache.put('kept ' + claims.user.username, kept, 60);\n\
         }\n\
         return kept.indexOf('yes') === 0 && kept[2][1] === 1.5 && kept[2][0] === '\u{e4}' && kept[2].length === 4;",
    );
    sandbox.admit(script.clone()).await.unwrap();
    for (native, calls) in [(false, 1), (true, 1)] {
        let record = sandbox.evaluate(batch(vec![script.clone()])).await.remove(0);
        let is_native = record.lane == Lane::Native;
        assert_eq!((record.result, is_native, gate.arrived()), (Ok(json!(true)), native, calls));
    }
    let object = policy(
        "if (cache.getIfPresent('object') === null) { cache.put('object', { b: 1, a: 2 }, 60); httpGet('http://slow.test/'); }\n\
         return Object.keys(cache.getIfPresent('object')).length === 2;",
    );
    sandbox.admit(object.clone()).await.unwrap();
    for _ in 0..2 {
        let record = sandbox.evaluate(batch(vec![object.clone()])).await.remove(0);
        assert_eq!((record.result, record.lane == Lane::Native), (Ok(json!(true)), false));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn who_does_not_say_that_it_waits_takes_what_is_free() {
    let gate = Gate::new();
    let sandbox = behind(&gate, |config| config.parked = 1).await;
    let hidden = "var r = globalThis['http' + 'Get']('http://slow.test/'); return r.data === 'yes';";
    let first = start(&sandbox, asks("slow", ""));
    until("it waits", || gate.arrived() == 1).await;
    assert_eq!(kind(&run(&sandbox, ScriptKind::Policy, hidden).await), FailureKind::HttpRefused);
    gate.open();
    assert_eq!(first.await.unwrap().remove(0).result, Ok(json!(true)));
    assert_eq!(run(&sandbox, ScriptKind::Policy, hidden).await.result, Ok(json!(true)));
    sandbox.stop().await;
}

#[tokio::test]
async fn waiting_for_a_place_is_bounded() {
    let gate = Gate::new();
    let sandbox = behind(&gate, |config| {
        config.parked = 1;
        config.parked_wait = Duration::from_millis(50);
    })
    .await;
    let first = start(&sandbox, asks("slow", ""));
    until("it waits", || gate.arrived() == 1).await;
    let second = sandbox.evaluate(asks("other", "")).await.remove(0);
    assert_eq!((kind(&second), second.http_calls.len()), (FailureKind::Overloaded, 0));
    gate.open();
    assert_eq!(first.await.unwrap().remove(0).result, Ok(json!(true)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_call_ends_with_its_time_and_with_that_of_the_run() {
    let gate = Gate::new();
    let sandbox = behind(&gate, |config| config.wall_deadline = Duration::from_millis(400)).await;
    let quick = run(&sandbox, ScriptKind::Policy, "return httpGet('http://slow.test/', null, 50) === null;").await;
    assert_eq!(quick.result, Ok(json!(true)));
    assert_eq!((quick.http_calls[0].outcome, quick.http_calls[0].status), ("timeout", None));
    let slow = run(&sandbox, ScriptKind::Policy, "httpGet('http://slow.test/a?token=1'); return true;").await;
    assert_eq!(kind(&slow), FailureKind::Timeout);
    assert!(slow.duration >= Duration::from_millis(400) && slow.duration < Duration::from_millis(900), "{slow:?}");
    assert_eq!((slow.http_calls[0].outcome, slow.http_calls[0].url.as_str()), ("timeout", "http://slow.test/a"));
    sandbox.stop().await;
}

const HOG: &str = "return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');";

#[tokio::test]
async fn waiting_for_a_turn_after_the_answer_does_not_count() {
    let gate = Gate::new();
    let sandbox = behind(&gate, |config| {
        (config.workers, config.spares) = (1, 1);
        config.wall_deadline = Duration::from_millis(400);
    })
    .await;
    let asking = start(&sandbox, asks("slow", ""));
    until("it waits", || gate.arrived() == 1).await;
    let hogs = start(&sandbox, batch(vec![policy(HOG), policy(HOG), policy(HOG)]));
    until("they run", || sandbox.metrics().workers_busy == 1).await;
    gate.open();
    for record in hogs.await.unwrap() {
        assert_eq!(kind(&record), FailureKind::Timeout);
    }
    assert_eq!(asking.await.unwrap().remove(0).result, Ok(json!(true)));
    sandbox.stop().await;
}

#[tokio::test]
async fn what_a_run_did_is_kept_when_it_is_killed() {
    let gate = Gate::new();
    gate.open();
    let sandbox = behind(&gate, |_| {}).await;
    let source = format!("auditLog('before'); httpGet('https://ana:pw@slow.test/a/b?c#d'); {HOG}");
    let record = run(&sandbox, ScriptKind::Policy, &source).await;
    assert_eq!(kind(&record), FailureKind::Timeout);
    assert_eq!(record.audit, ["before"]);
    assert_eq!(record.http_calls[0].url, "https://slow.test/a/b");
    sandbox.stop().await;
}

#[tokio::test]
async fn calls_of_a_run_are_counted() {
    let gate = Gate::new();
    gate.open();
    let sandbox = behind(&gate, |_| {}).await;
    let times = |count| {
        format!(
            "for (var i = 0; i < {count}; i++) {{ try {{ httpGet('http://a.test/'); }} catch (e) {{}} }} return true;"
        )
    };
    assert_eq!(run(&sandbox, ScriptKind::Policy, &times(100)).await.result, Ok(json!(true)));
    let record = run(&sandbox, ScriptKind::Policy, &times(101)).await;
    assert_eq!((kind(&record), record.http_calls.len()), (FailureKind::HttpRefused, 100));
    let many = "for (var i = 0; i < 1001; i++) { try { cache.getIfPresent('a'); } catch (e) {} } return true;";
    assert_eq!(kind(&run(&sandbox, ScriptKind::Policy, many).await), FailureKind::HttpRefused);
    let metrics = sandbox.metrics();
    assert_eq!(metrics.http_calls.iter().find(|(code, _)| *code == "answer"), Some(&("answer", 200)));
    sandbox.stop().await;
}

#[tokio::test]
async fn a_mixed_batch_is_answered_in_order() {
    let gate = Gate::new();
    gate.open();
    let sandbox = behind(&gate, |_| {}).await;
    let scripts: Vec<_> = (0..30)
        .map(|at| match at % 3 {
            0 => policy("return true;"),
            1 => policy(&format!("return httpGet('http://a.test/').data === 'yes' && {at} > 0;")),
            _ => policy("return false;"),
        })
        .collect();
    let records = sandbox.evaluate(batch(scripts)).await;
    for (at, record) in records.iter().enumerate() {
        assert_eq!(record.result, Ok(json!(at % 3 != 2)), "{at}");
        assert_eq!(record.http_calls.len(), usize::from(at % 3 == 1), "{at}");
    }
    sandbox.stop().await;
}
