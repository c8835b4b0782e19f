//! What scripts answer, what they find, and how a wrong answer is called.

use engine::script::{FailureKind, ScriptKind};
use sandbox::{Lane, Sandbox};
use serde_json::{Value, json};

use crate::helpers::{batch_with, criterion, policy, run, sandbox, script};

async fn check(sandbox: &Sandbox, kind: ScriptKind, source: &str, expected: Value) {
    let record = run(sandbox, kind, source).await;
    assert_eq!(record.result, Ok(expected), "{source}");
}

async fn check_wrong(sandbox: &Sandbox, kind: ScriptKind, source: &str, expected: &str) {
    let failure = run(sandbox, kind, source).await.result.unwrap_err();
    assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::WrongResult, expected), "{source}");
}

#[tokio::test]
async fn every_kind_has_its_shape() {
    use ScriptKind::{AppShortcut, Condition, Criteria, Host, Policy, PortOrType, UserClaim};
    let sandbox = sandbox().await;
    for kind in [Policy, Criteria, Condition] {
        check(&sandbox, kind, "return true;", json!(true)).await;
        check(&sandbox, kind, "return claims.user.age > 100;", json!(false)).await;
    }
    check(
        &sandbox,
        Host,
        "return (claims.user.agScripted.teams || []).map(t => t + '.example.com');",
        json!(["red.example.com", "blue.example.com"]),
    )
    .await;
    check(&sandbox, PortOrType, "return [22, '443', '8000-8010'];", json!(["22", "443", "8000-8010"])).await;
    check(
        &sandbox,
        AppShortcut,
        "return [{ name: 'CI', url: 'https://ci', colorCode: 7, no: undefined }];",
        json!([{ "name": "CI", "url": "https://ci", "colorCode": 7 }]),
    )
    .await;
    let source =
        "return { a: 1, b: 1.5, c: ['x', null, undefined], d: { e: new Date(0) }, f: function () {}, g: NaN };";
    let expected =
        json!({ "a": 1, "b": 1.5, "c": ["x", null, null], "d": { "e": "1970-01-01T00:00:00.000Z" }, "g": null });
    check(&sandbox, UserClaim, source, expected).await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_wrong_answer_is_named() {
    use ScriptKind::{AppShortcut, Host, Policy, UserClaim};
    let sandbox = sandbox().await;
    check_wrong(&sandbox, Policy, "return 'yes';", "Expression does not return boolean. Received: String").await;
    check_wrong(&sandbox, Policy, "var a = 1;", "Expression does not return boolean. Received: Undefined").await;
    check_wrong(&sandbox, Policy, "return new Boolean(true);", "Expression does not return boolean. Received: Object")
        .await;
    check_wrong(
        &sandbox,
        Policy,
        "return Promise.resolve(true);",
        "Expression does not return boolean. Received: Promise",
    )
    .await;
    check_wrong(&sandbox, Host, "return true;", "Expression does not return list. Received: Boolean").await;
    check_wrong(&sandbox, Host, "return ['a', {}];", "List may hold strings and numbers only. Received: Object").await;
    check_wrong(&sandbox, AppShortcut, "return ['a'];", "List may hold shortcut objects only. Received: String").await;
    check_wrong(&sandbox, UserClaim, "return ['a'];", "Expression does not return object. Received: Array").await;
    check_wrong(&sandbox, UserClaim, "var a = {}; a.a = a; return a;", "Result is nested more than 32 deep").await;
    check_wrong(
        &sandbox,
        Host,
        "var a = []; for (var i = 0; i < 10001; i++) a.push('x'); return a;",
        "Result has more than 10000 elements",
    )
    .await;
    check_wrong(&sandbox, Host, "return ['x'.repeat(2000000)];", "Result is larger than 1 MiB").await;
    sandbox.stop().await;
}

#[tokio::test]
async fn globals_and_helpers_do_what_the_reference_says() {
    let sandbox = sandbox().await;
    for (source, expected) in [
        ("return claims.user.groups.containsText('CN=developers,');", true),
        ("return claims.user.groups.containsText('CN=admins,');", false),
        ("return 'abc'.containsText('bc');", true),
        ("return claims.system.isClientInNetwork('10.20.0.0/16');", true),
        ("return claims.system.isClientInNetwork('10.21.0.0/16');", false),
        ("return claims.system.isClientInNetwork('10.20.30.40');", true),
        ("return claims.device.isClientInNetwork('192.168.0.0/16');", true),
        ("return claims.device.isClientInNetwork('172.16.0.0/12');", false),
        ("return claims.system.inTimeRange('08:00', '10:00');", true),
        ("return claims.system.inTimeRange('22:00', '06:00');", false),
        ("return claims.user.hasReason('after-hours', 60);", true),
        ("return claims.user.hasReason('after-hours', 1);", false),
        ("return claims.user.hasReason('other', 60);", false),
        ("return claims.user.hasPassword('after-hours', 60);", false),
        (
            "return new Date().toISOString() === '2026-01-05T09:00:00.000Z' && Date.now() === new Date().getTime();",
            true,
        ),
        ("return new Date().getHours() === 9 && new Date().getTimezoneOffset() === 0;", true),
        (
            "return JSON.stringify(Object.keys(claims)) === '[\"user\",\"device\",\"system\"]' && !('responses' in claims);",
            true,
        ),
        ("for (var k in claims.user) { if (k === 'hasPassword') return false; } return true;", true),
        (
            "return typeof require === 'undefined' && typeof fetch === 'undefined' && typeof setTimeout === 'undefined';",
            true,
        ),
        ("return typeof WeakRef === 'undefined' && typeof SharedArrayBuffer === 'undefined';", true),
        ("claims.user.age = 7; return claims.user.age === 7;", true),
        ("implicit = 5; return implicit === 5 && globalThis.implicit === 5;", true),
        ("return globalThis.claims === claims;", true),
        ("var r = Math.random(); return r >= 0 && r < 1 && r !== Math.random();", true),
        ("/x/.test('x'); return true;", true),
    ] {
        check(&sandbox, ScriptKind::Policy, source, json!(expected)).await;
    }
    let draws = "return [String(Math.random())];";
    let first = run(&sandbox, ScriptKind::Host, draws).await.result;
    assert_eq!(first, run(&sandbox, ScriptKind::Host, draws).await.result);
    sandbox.stop().await;
}

#[tokio::test]
async fn printing_is_collected_and_bounded() {
    let sandbox = sandbox().await;
    let record = run(&sandbox, ScriptKind::Policy, "console.log('a', 1, null); print('b'); return true;").await;
    assert_eq!((record.output.as_str(), record.lane), ("a 1 null\nb\n", Lane::Warm));
    let record = run(
        &sandbox,
        ScriptKind::Policy,
        "for (var i = 0; i < 5000; i++) print('0123456789012345678901234567890123456789'); return true;",
    )
    .await;
    assert_eq!(record.result, Ok(json!(true)));
    assert!(record.output.len() <= 64 * 1024 && record.output.len() > 60_000);
    sandbox.stop().await;
}

#[tokio::test]
async fn policies_call_criteria_by_name() {
    let sandbox = sandbox().await;
    let criteria = vec![
        criterion(
            "staff",
            "return claims.user.emails && claims.user.emails.some(function (e) { return e.endsWith('@example.com'); });",
        ),
        criterion("nested", "return staff(claims);"),
        criterion("other", "return staff({ user: { emails: ['x@example.com'] } });"),
        criterion("broken", "return claims.nothing.at.all;"),
        criterion("loop", "return loop(claims);"),
        criterion("writes", "seen = (typeof seen === 'undefined') ? 1 : seen + 1; return seen === 1;"),
        criterion("Math", "return false;"),
    ];
    let sources = [
        "return staff(claims);",
        "return nested(claims);",
        "return other(claims) && staff({ user: {} }) === undefined;",
        "return writes(claims);",
        "return Math.max(1, 2) === 2;",
        "return broken(claims);",
        "return loop(claims);",
    ];
    let mut scripts: Vec<_> = sources.iter().map(|source| policy(source)).collect();
    scripts.push(script("c", ScriptKind::Condition, "return staff(claims);"));
    let records = sandbox.evaluate(batch_with(scripts, criteria)).await;
    for record in &records[..5] {
        assert_eq!(record.result, Ok(json!(true)), "{record:?}");
    }
    assert_eq!((records[0].lane, records[1].lane, records[3].lane), (Lane::Warm, Lane::Warm, Lane::Fresh));
    assert_eq!(records[0].claims_read, ["user.emails"]);
    let broken = records[5].result.as_ref().unwrap_err();
    assert_eq!((broken.kind, broken.script.as_str(), broken.line), (FailureKind::Type, "broken", Some(1)));
    assert_eq!(records[6].result.as_ref().unwrap_err().kind, FailureKind::Instructions);
    assert_eq!(records[7].result.as_ref().unwrap_err().message, "ReferenceError: staff is not defined");
    sandbox.stop().await;
}
