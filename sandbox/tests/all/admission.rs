//! Reading scripts without running them: each in a process of its own.

use engine::script::FailureKind;
use engine::script::lanes::Lane;
use sandbox::{Purpose, RunRecord, Sandbox};
use serde_json::json;

use crate::helpers::{batch, config, policy, sandbox, until};

#[tokio::test]
async fn what_is_read_runs_nowhere_near_the_pool() {
    let sandbox = sandbox().await;
    until("all workers are up", || sandbox.worker_ids().len() == 3).await;
    let before = sandbox.worker_ids();
    let read: Vec<_> = (0..8)
        .map(|at| {
            let sandbox = sandbox.clone();
            tokio::spawn(async move { sandbox.admit(policy(&format!("return claims.user.age > {at};"))).await })
        })
        .collect();
    for admission in read {
        let admission = admission.await.unwrap().unwrap();
        assert_eq!(admission.analysis.lane(), Lane::Warm);
        assert_eq!(admission.analysis.claims.iter().collect::<Vec<_>>(), ["user.age"]);
        assert_eq!(admission.tree.body.len(), 1);
    }
    let crashed = sandbox.admit(policy(&format!("return {}1;", "!".repeat(60_000)))).await;
    assert!(crashed.is_err_and(|failure| matches!(failure.kind, FailureKind::Crash | FailureKind::Timeout)));
    until("the readers are gone", || sandbox.worker_ids().len() == 3).await;
    assert!(sandbox.worker_ids().iter().all(|id| before.contains(id)));
    sandbox.stop().await;
}

#[tokio::test]
async fn places_stay_where_secrets_are_named() {
    let sandbox = sandbox().await;
    let source = "var a = '%SECRET:TOKEN%';\nreturn `%SECRET:X%` === a && /%SECRET:Y%/u.test(a) && Java.type('x');";
    let failure = sandbox.admit(policy(source)).await.unwrap_err();
    assert_eq!((failure.kind, failure.line), (FailureKind::Syntax, Some(2)), "{failure}");
    let column = source.lines().nth(1).unwrap().find("Java").unwrap() + 1;
    assert_eq!(failure.column, Some(u32::try_from(column).unwrap()), "{failure}");
    assert!(sandbox.admit(policy(&source.replace("Java.type('x')", "a"))).await.is_ok());
    sandbox.stop().await;
}

#[tokio::test]
async fn each_purpose_has_a_cache_of_its_own() {
    let mut config = config();
    config.workers = 1;
    let sandbox = Sandbox::start(config).await.unwrap();
    let run = async |purpose, source: &str| -> RunRecord {
        let mut batch = batch(vec![policy(source)]);
        batch.purpose = purpose;
        sandbox.evaluate(batch).await.remove(0)
    };
    let finds = |what: &str| format!("return JSON.stringify(cache.getIfPresent('k')) === '{what}';");
    let put = "cache.put('k', { a: [1, 'x'] }, 60); return true;";
    assert_eq!(run(Purpose::Live, put).await.result, Ok(json!(true)));
    assert_eq!(run(Purpose::Live, &finds(r#"{"a":[1,"x"]}"#)).await.result, Ok(json!(true)));
    assert_eq!(run(Purpose::Test, &finds("null")).await.result, Ok(json!(true)));
    sandbox.reset_cache(Purpose::Test, [("k".to_owned(), json!([true]))]);
    assert_eq!(run(Purpose::Test, &finds("[true]")).await.result, Ok(json!(true)));
    sandbox.reset_cache(Purpose::Test, []);
    assert_eq!(run(Purpose::Test, &finds("null")).await.result, Ok(json!(true)));
    assert_eq!(sandbox.metrics().cache_entries, 1);
    assert_eq!(
        run(Purpose::Live, "cache.put('k', 1, 0); return cache.getIfPresent('k') === null;").await.result,
        Ok(json!(true))
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn what_was_read_runs_in_process_and_what_runs_often_is_read() {
    let mut config = config();
    config.learn_after = 3;
    let sandbox = Sandbox::start(config).await.unwrap();
    let native = "return claims.user.age > 40;";
    sandbox.admit(policy(native)).await.unwrap();
    let record = sandbox.evaluate(batch(vec![policy(native)])).await.remove(0);
    assert_eq!((record.result, record.lane), (Ok(json!(true)), Lane::Native));
    assert_eq!(record.claims_read, ["user.age"]);
    let often = "return claims.user.age > 30;";
    let started = std::time::Instant::now();
    loop {
        let record = sandbox.evaluate(batch(vec![policy(often)])).await.remove(0);
        assert_eq!(record.result, Ok(json!(true)));
        if record.lane == Lane::Native {
            break;
        }
        assert!(started.elapsed() < std::time::Duration::from_secs(20), "never read");
    }
    let mut only = batch(vec![policy("for (;;) {}"), policy("return claims.user.age > 20;"), policy("return @;")]);
    only.lane = sandbox::LaneChoice::Only(Lane::Native);
    let records = sandbox.evaluate(only).await;
    assert!(records[0].result.as_ref().is_err_and(|failure| failure.kind == FailureKind::Syntax), "{records:?}");
    assert_eq!((&records[1].result, records[1].lane), (&Ok(json!(true)), Lane::Native));
    assert!(records[2].result.is_err());
    sandbox.stop().await;
}
