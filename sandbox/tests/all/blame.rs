//! Whose fault it is when a worker dies in the middle of a batch: answers that were not sent yet are made again, and nothing happens twice.

use std::time::Duration;

use engine::script::{FailureKind, ScriptKind};
use sandbox::{Sandbox, Script};
use serde_json::json;

use crate::helpers::{batch, config, kind, policy, run, sandbox};

const HOG: &str = "return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');";
const GLUTTON: &str = "return 'a'.repeat(1 << 28).length > 0;";

#[tokio::test]
async fn the_one_that_was_running_is_blamed() {
    let sandbox = sandbox().await;
    let wanted = |at: usize| match at {
        13 | 40 => Some((HOG, FailureKind::Timeout)),
        27 => Some((GLUTTON, FailureKind::Memory)),
        59 => Some((HOG, FailureKind::Timeout)),
        _ => None,
    };
    let scripts: Vec<Script> = (0..60)
        .map(|at| match wanted(at) {
            Some((source, _)) => policy(source),
            None => policy(&format!("return {at} % 2 === 0;")),
        })
        .collect();
    let records = sandbox.evaluate(batch(scripts)).await;
    for (at, record) in records.iter().enumerate() {
        match wanted(at) {
            Some((_, expected)) => assert_eq!(kind(record), expected, "{at}"),
            None => assert_eq!(record.result, Ok(json!(at % 2 == 0)), "{at}"),
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn nothing_happens_twice() {
    let sandbox = sandbox().await;
    let count = "var n = (cache.getIfPresent('n') || 0) + 1; cache.put('n', n, 60); auditLog('run ' + n); return true;";
    let mut scripts = vec![policy("return true;"), policy(count)];
    scripts.extend((0..20).map(|_| policy("return true;")));
    scripts.push(policy(HOG));
    scripts.push(policy(count));
    scripts.push(policy(GLUTTON));
    let records = sandbox.evaluate(batch(scripts)).await;
    assert_eq!(
        (records[1].audit.as_slice(), records[23].audit.as_slice()),
        (&["run 1".to_owned()][..], &["run 2".to_owned()][..])
    );
    assert!(records[..22].iter().all(|record| record.result == Ok(json!(true))));
    let counted = run(&sandbox, ScriptKind::Policy, "return cache.getIfPresent('n') === 2;").await;
    assert_eq!(counted.result, Ok(json!(true)));
    sandbox.stop().await;
}

#[tokio::test]
async fn every_run_of_a_batch_has_clocks_of_its_own() {
    let mut config = config();
    config.cpu_budget = Duration::from_millis(150);
    config.wall_deadline = Duration::from_secs(2);
    let sandbox = Sandbox::start(config).await.unwrap();
    // Together they take far more than one may.
    let busy = "var until = 400000, n = 0; while (n < until) { n++; } return n === until;";
    let mut scripts: Vec<Script> = (0..30).map(|_| policy(busy)).collect();
    scripts.push(policy(HOG));
    let records = sandbox.evaluate(batch(scripts)).await;
    for record in &records[..30] {
        assert_eq!(record.result, Ok(json!(true)), "{record:?}");
    }
    assert_eq!(kind(&records[30]), FailureKind::Timeout);
    assert!(records[30].duration >= Duration::from_millis(150), "{:?}", records[30].duration);
    assert!(records[30].duration < Duration::from_millis(1000), "{:?}", records[30].duration);
    sandbox.stop().await;
}

#[tokio::test]
async fn numbers_say_what_happened() {
    let sandbox = sandbox().await;
    sandbox.evaluate(batch(vec![policy("return true;"), policy(HOG), policy("return claims.user.no.where;")])).await;
    let metrics = sandbox.metrics();
    let count = |outcome| metrics.runs.iter().filter(|run| run.outcome == outcome).map(|run| run.count).sum::<u64>();
    assert_eq!((count("ok"), count("timeout"), count("type"), count("crash")), (1, 1, 1, 0));
    assert_eq!(metrics.workers_killed, 1);
    assert!(metrics.workers_spawned >= 2, "{metrics:?}");
    assert!(metrics.layers.iter().all(|(_, present)| *present), "{metrics:?}");
    let text = metrics.prometheus("portcullis_");
    assert!(text.contains("portcullis_script_workers_killed_total 1\n"), "{text}");
    sandbox.stop().await;
}
