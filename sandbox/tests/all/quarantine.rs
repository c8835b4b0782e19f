//! Scripts that keep costing others are put aside, and come back when they are edited.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::script::FailureKind;
use rustix::process::{Pid, Signal, kill_process};
use sandbox::{Batch, Purpose, Quarantined, Sandbox};
use serde_json::json;

use crate::helpers::{batch, claims, config, kind, policy, until};

async fn small() -> (Sandbox, Arc<Mutex<Vec<Quarantined>>>) {
    let mut config = config();
    config.instructions = 20_000;
    let told = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&told);
    config.on_quarantine = Some(Arc::new(move |quarantined| hears.lock().unwrap().push(quarantined.clone())));
    (Sandbox::start(config).await.unwrap(), told)
}

/// Loops for those who are old enough.
const LOOPS: &str = "while (claims.user.age > 40) {} return true;";

fn asked(source: &str, subject: &str, age: u32) -> Batch {
    let mut batch = batch(vec![policy(source)]);
    let mut claims = claims();
    claims["user"]["age"] = json!(age);
    batch.claims = Arc::new(claims);
    batch.subject = subject.into();
    batch
}

async fn ends(sandbox: &Sandbox, batch: Batch) -> Option<FailureKind> {
    sandbox.evaluate(batch).await.remove(0).result.err().map(|failure| failure.kind)
}

#[tokio::test]
async fn ten_failures_of_three_subjects_put_a_script_aside() {
    let (sandbox, told) = small().await;
    for at in 0..9 {
        assert_eq!(ends(&sandbox, asked(LOOPS, &format!("u{}", at % 3), 41)).await, Some(FailureKind::Instructions));
    }
    assert_eq!(ends(&sandbox, asked(LOOPS, "u0", 20)).await, None, "a run that answers wipes the count");
    for at in 0..10 {
        assert_eq!(ends(&sandbox, asked(LOOPS, &format!("u{}", at % 3), 41)).await, Some(FailureKind::Instructions));
    }
    let record = sandbox.evaluate(asked(LOOPS, "u7", 20)).await.remove(0);
    assert_eq!(kind(&record), FailureKind::Quarantined);
    assert_eq!(told.lock().unwrap().len(), 1);
    let listed = sandbox.quarantined();
    assert_eq!(listed, *told.lock().unwrap());
    assert_eq!((&*listed[0].script, listed[0].failures, listed[0].last.kind), ("p", 10, FailureKind::Instructions));
    assert_eq!(sandbox.metrics().quarantined, 1);
    assert_eq!(ends(&sandbox, asked(&format!("{LOOPS} // edited"), "u0", 20)).await, None);
    let mut test = asked(LOOPS, "u0", 20);
    test.purpose = Purpose::Test;
    assert_eq!(ends(&sandbox, test).await, None, "its author can try it");
    sandbox.stop().await;
}

#[tokio::test]
async fn one_subject_needs_fifty_failures() {
    let (sandbox, told) = small().await;
    for at in 0..50 {
        assert_eq!(ends(&sandbox, asked(LOOPS, "ana", 41)).await, Some(FailureKind::Instructions), "{at}");
    }
    assert_eq!(ends(&sandbox, asked(LOOPS, "ben", 41)).await, Some(FailureKind::Quarantined));
    until("the hook was told", || told.lock().unwrap().len() == 1).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn test_runs_and_plain_mistakes_do_not_count() {
    let (sandbox, told) = small().await;
    for at in 0..60 {
        let mut test = asked(LOOPS, &format!("u{at}"), 41);
        test.purpose = Purpose::Test;
        assert_eq!(ends(&sandbox, test).await, Some(FailureKind::Instructions));
        let mistake = asked("return claims.user.no.where;", &format!("u{at}"), 41);
        assert_eq!(ends(&sandbox, mistake).await, Some(FailureKind::Type));
    }
    assert!(told.lock().unwrap().is_empty() && sandbox.quarantined().is_empty());
    sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_from_outside_is_no_fault_of_its_script() {
    let sandbox = Sandbox::start(config()).await.unwrap();
    for at in 0..12 {
        let running = tokio::spawn({
            let (sandbox, batch) = (sandbox.clone(), asked(LOOPS, &format!("u{}", at % 3), 41));
            async move { ends(&sandbox, batch).await }
        });
        tokio::time::sleep(Duration::from_millis(60)).await;
        for id in sandbox.worker_ids() {
            let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
            // One may have ended since it was listed.
            let _ = kill_process(id, Signal::KILL);
        }
        assert_eq!(running.await.unwrap(), Some(FailureKind::Crash), "{at}");
    }
    assert!(sandbox.quarantined().is_empty());
    sandbox.stop().await;
}
