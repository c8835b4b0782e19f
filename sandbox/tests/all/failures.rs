//! Every way a script can fail, and that nobody else notices.

use std::time::{Duration, Instant};

use engine::script::{FailureKind, ScriptKind};
use sandbox::Sandbox;
use serde_json::json;

use crate::helpers::{batch, config, kind, place, policy, run, sandbox};

#[tokio::test]
async fn syntax_errors_have_the_authors_line_and_column() {
    let sandbox = sandbox().await;
    for (source, line, column) in [
        ("return @;", 1, 8),
        ("var a = 1;\nreturn a +;\n", 2, 11),
        ("if (true) {\n  return true;\n", 3, 1),
        ("return true; }", 1, 14),
        ("}); (function () {", 1, 1),
        ("return true;\nlet claims = 2;", 1, 1),
    ] {
        let record = run(&sandbox, ScriptKind::Policy, source).await;
        assert_eq!(kind(&record), FailureKind::Syntax, "{source}");
        assert_eq!(place(&record), (Some(line), Some(column)), "{source}: {record:?}");
        let refused = sandbox.admit(policy(source)).await.unwrap_err();
        assert_eq!(record.result, Err(refused), "{source}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn errors_thrown_have_kind_text_and_place() {
    use FailureKind::{Thrown, Type};
    let sandbox = sandbox().await;
    for (source, expected, message, line) in [
        ("return claims.user.nothing.indexOf('a') >= 0;", Type, None, None),
        ("var a;\n\nreturn a.b;", Type, None, Some(3)),
        ("throw new TypeError('mine');", Type, Some("TypeError: mine"), Some(1)),
        ("\nthrow new RangeError('too far');", Thrown, Some("RangeError: too far"), Some(2)),
        (
            "class Mine extends Error { constructor(m) { super(m); this.name = 'Mine'; } }\nthrow new Mine('x');",
            Thrown,
            Some("Mine: x"),
            Some(1),
        ),
        ("return unknownName;", Thrown, Some("ReferenceError: unknownName is not defined"), None),
        ("return JSON.parse('{') === 1;", Thrown, None, Some(1)),
        ("return eval('1 + 1') === 2;", Type, None, Some(1)),
        ("return new Function('return true')();", Type, None, Some(1)),
        ("return claims.system.isClientInNetwork('10.0.0/8');", Type, None, Some(1)),
    ] {
        let record = run(&sandbox, ScriptKind::Policy, source).await;
        assert_eq!(kind(&record), expected, "{source}: {record:?}");
        assert_eq!(place(&record).0, line, "{source}: {record:?}");
        if let Some(message) = message {
            assert_eq!(record.result.unwrap_err().message, message, "{source}");
        }
    }
    let record = run(&sandbox, ScriptKind::Policy, "throw 'x'.repeat(100000);").await;
    assert_eq!(kind(&record), Thrown);
    assert!(record.result.unwrap_err().message.len() <= 1024);
    let record = run(&sandbox, ScriptKind::Policy, "throw { big: new Array(1000).fill('y') };").await;
    assert_eq!(record.result.unwrap_err().message, "threw an object that is no error");
    sandbox.stop().await;
}

async fn ends_as(sandbox: &Sandbox, source: &str, expected: &[FailureKind]) {
    let started = Instant::now();
    let record = run(sandbox, ScriptKind::Policy, source).await;
    assert!(expected.contains(&kind(&record)), "{source}: {record:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{source}: {:?}", started.elapsed());
    let after = run(sandbox, ScriptKind::Policy, "return true;").await;
    assert_eq!(after.result, Ok(json!(true)), "after {source}");
}

#[tokio::test]
async fn hostile_scripts_end_in_time() {
    use FailureKind::{Crash, Instructions, Memory, Syntax, Timeout};
    let sandbox = sandbox().await;
    for source in [
        "while (true) {}",
        "try { while (true) {} } finally { while (true) {} }",
        "[1].map(function () { for (;;) {} });",
        "[2, 1].sort(function () { for (;;) {} });",
        "return ({ get a() { for (;;) {} } }).a;",
        "Promise.resolve().then(function () { for (;;) {} }); return true;",
        "function f() { f(); } f();",
    ] {
        ends_as(&sandbox, source, &[Instructions, Timeout]).await;
    }
    ends_as(&sandbox, "return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');", &[Timeout]).await;
    for source in [
        "return 'a'.repeat(1 << 28).length > 0;",
        "var s = 'abcdefgh'; while (true) { s += s; }",
        "var a = []; while (true) { a.push(new Array(1000).fill('x')); }",
        "return Array.from({ length: 2e7 }).length > 0;",
    ] {
        ends_as(&sandbox, source, &[Memory, Timeout, Instructions]).await;
    }
    ends_as(&sandbox, &format!("return {}1{};", "(".repeat(5000), ")".repeat(5000)), &[Syntax]).await;
    ends_as(&sandbox, &format!("return {}1;", "!".repeat(60_000)), &[Crash, Timeout]).await;
    ends_as(
        &sandbox,
        "var a = []; for (var i = 0; i < 200000; i++) a = [a]; return JSON.stringify(a) === '';",
        &[Crash, Timeout, Memory, FailureKind::Thrown],
    )
    .await;
    ends_as(&sandbox, &format!("//{}", "x".repeat(64 * 1024)), &[Syntax]).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_memory_hog_is_told_from_a_crash() {
    let sandbox = sandbox().await;
    let record = run(&sandbox, ScriptKind::Policy, "return 'a'.repeat(1 << 28).length > 0;").await;
    assert_eq!(kind(&record), FailureKind::Memory);
    sandbox.stop().await;
}

#[tokio::test]
async fn the_wall_deadline_holds_where_cpu_time_does_not_run_out() {
    let mut config = config();
    config.wall_deadline = Duration::from_millis(200);
    config.cpu_budget = Duration::from_secs(60);
    let sandbox = Sandbox::start(config).await.unwrap();
    let record = run(&sandbox, ScriptKind::Policy, "return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');").await;
    assert_eq!(kind(&record), FailureKind::Timeout);
    assert!(
        record.duration >= Duration::from_millis(200) && record.duration < Duration::from_millis(1200),
        "{:?}",
        record.duration
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn one_bad_script_hurts_only_itself() {
    let sandbox = sandbox().await;
    let records = sandbox
        .evaluate(batch(vec![
            policy("return true;"),
            policy("while (true) {}"),
            policy("return claims.user.age === 41;"),
            policy("return /^(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaab');"),
            policy("return 'a'.repeat(1 << 28).length > 0;"),
            policy(&format!("//{}", "x".repeat(64 * 1024))),
            policy("return false;"),
        ]))
        .await;
    let results: Vec<_> = records.iter().map(|record| record.result.clone().map_err(|failure| failure.kind)).collect();
    assert!(matches!(results[1], Err(FailureKind::Instructions | FailureKind::Timeout)), "{results:?}");
    assert_eq!(results[0], Ok(json!(true)));
    assert_eq!(results[2], Ok(json!(true)));
    assert_eq!(
        results[3..],
        [Err(FailureKind::Timeout), Err(FailureKind::Memory), Err(FailureKind::Syntax), Ok(json!(false))]
    );
    sandbox.stop().await;
}

#[tokio::test]
async fn claims_that_cannot_be_read_are_not_taken_for_missing() {
    let sandbox = sandbox().await;
    let mut batch = batch(vec![policy("return !claims.device.isRooted;")]);
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    batch.claims = std::sync::Arc::new(json!({ "device": { "isRooted": true, "deep": deep } }));
    let record = sandbox.evaluate(batch).await.remove(0);
    assert_eq!(kind(&record), FailureKind::Crash);
    sandbox.stop().await;
}
