//! Secrets in scripts: they mean themselves in every kind of literal, and nothing that a run leaves behind holds them.

use std::sync::{Arc, Mutex};

use base64::Engine;
use engine::script::{FailureKind, ScriptKind};
use sandbox::{
    Batch, HttpBackend, HttpFuture, HttpOutcome, HttpRequest, Lane, Origin, RunRecord, Sandbox, Script, Secret, Secrets,
};
use serde_json::json;
use zeroize::Zeroizing;

use crate::helpers::{batch_with, config, criterion, kind, place, policy, script, until};

const TOKEN: &str = "Tk-94f'1\"b`${7}\\c/é😀+=";

fn secrets(list: &[(&str, &str, Option<&[&str]>)]) -> Secrets {
    let secret = |value: &str, origins: Option<&[&str]>| Secret {
        value: Arc::new(Zeroizing::new(value.to_owned())),
        allowed_origins: origins.map(|list| list.iter().map(|origin| Origin::parse(origin).unwrap()).collect()),
    };
    list.iter().map(|(name, value, origins)| ((*name).into(), secret(value, *origins))).collect()
}

#[derive(Default)]
struct Seen(Mutex<Vec<HttpRequest>>);

impl HttpBackend for Seen {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        let echo = request.headers.iter().map(|(_, value)| value.as_str()).collect();
        let outcome = match request.url.contains("refuse") {
            true => HttpOutcome::Refused(format!("must not call {}", request.url)),
            false => HttpOutcome::Answer { status: 200, body: echo },
        };
        self.0.lock().unwrap().push(request);
        Box::pin(async { outcome })
    }
}

async fn online() -> (Sandbox, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let mut config = config();
    config.http = Arc::clone(&seen) as Arc<dyn HttpBackend>;
    (Sandbox::start(config).await.unwrap(), seen)
}

fn with_token(scripts: Vec<Script>, criteria: Vec<Script>) -> Batch {
    let mut batch = batch_with(scripts, criteria);
    batch.secrets = secrets(&[("T", TOKEN, None), ("SHORT", "abcd", None)]);
    batch
}

async fn run(sandbox: &Sandbox, script: Script) -> RunRecord {
    sandbox.evaluate(with_token(vec![script], Vec::new())).await.remove(0)
}

#[tokio::test]
async fn a_secret_means_itself_in_every_literal() {
    let (sandbox, _) = online().await;
    let units: Vec<u16> = TOKEN.encode_utf16().collect();
    let expected = format!("String.fromCharCode({})", units.iter().map(u16::to_string).collect::<Vec<_>>().join(","));
    for literal in [
        "'%SECRET:T%'",
        "\"%SECRET:T%\"",
        "`%SECRET:T%`",
        "('x' + '%SECRET:T%').substring(1)",
        "({ '%SECRET:T%': 1 }, Object.keys({ '%SECRET:T%': 1 })[0])",
        "own()",
    ] {
        let source =
            format!("var S = {expected}; function own() {{ return '%SECRET:T%'; }}\nreturn ({literal}) === S;");
        let record = run(&sandbox, policy(&source)).await;
        assert_eq!((record.result, record.lane), (Ok(json!(true)), Lane::Fresh), "{literal}");
    }
    // The engine cannot match a character beyond the basic plane by two escapes in a pattern.
    let mut batch =
        batch_with(vec![policy("return /^%SECRET:R%$/.test('%SECRET:R%') && !/^%SECRET:R%$/.test('x');")], vec![]);
    batch.secrets = secrets(&[("R", &TOKEN.replace('😀', "(.*)[^a]"), None)]);
    assert_eq!(sandbox.evaluate(batch).await.remove(0).result, Ok(json!(true)));
    let criteria = vec![criterion("key", "return '%SECRET:T%';")];
    let source = format!("return key(claims) === {expected};");
    let record = sandbox.evaluate(with_token(vec![policy(&source)], criteria)).await.remove(0);
    assert_eq!(record.result, Ok(json!(true)));
    sandbox.stop().await;
}

#[tokio::test]
async fn workers_that_saw_a_secret_are_gone() {
    let (sandbox, _) = online().await;
    until("all workers are up", || sandbox.worker_ids().len() == 3).await;
    let before = sandbox.worker_ids();
    run(&sandbox, policy("return '%SECRET:T%' !== '';")).await;
    until("one is new", || {
        let now = sandbox.worker_ids();
        now.len() == 3 && now.iter().filter(|id| before.contains(id)).count() == 2
    })
    .await;
    sandbox.stop().await;
}

#[tokio::test]
async fn a_missing_secret_fails_before_anything_runs() {
    let (sandbox, seen) = online().await;
    let source = "httpGet('http://a.test/'); return '%SECRET:NONE%' === '';";
    let record = run(&sandbox, policy(source)).await;
    assert_eq!(kind(&record), FailureKind::SecretMissing);
    assert!(record.result.unwrap_err().message.contains("`NONE`"));
    let through = criterion("key", "return '%SECRET:NONE%';");
    let record = sandbox.evaluate(with_token(vec![policy("return key(claims);")], vec![through])).await.remove(0);
    assert_eq!(kind(&record), FailureKind::SecretMissing);
    assert!(seen.0.lock().unwrap().is_empty());
    sandbox.stop().await;
}

#[track_caller]
fn holds_no_token(source: &str, record: &RunRecord) {
    let text = format!("{record:?}").to_lowercase();
    let hex: String = TOKEN.bytes().map(|byte| format!("{byte:02x}")).collect();
    let forms = [
        TOKEN.to_lowercase(),
        "94f'1".to_owned(),
        hex,
        base64::engine::general_purpose::STANDARD.encode(TOKEN).to_lowercase(),
        "tk-94f%271%22b".to_owned(),
        "\\u0054\\u006b".to_owned(),
    ];
    for form in forms {
        assert!(!text.contains(&form), "{source} left {form} in {text}");
    }
}

#[tokio::test]
async fn nothing_left_behind_holds_a_secret() {
    let (sandbox, _) = online().await;
    for source in [
        "console.log('%SECRET:T%'); return true;",
        "console.log(encodeURIComponent('%SECRET:T%'), escape('%SECRET:T%')); return true;",
        "console.log(String.raw`%SECRET:T%`); return true;",
        "for (var c of '%SECRET:T%') { console.log(c); } return true;",
        "console.log('%SECRET:T%'.split('').join(' - ')); return true;",
        "console.log('%SECRET:T%'.split('').reverse().join('')); return true;",
        "console.log(JSON.stringify({ a: ['%SECRET:T%'] })); return true;",
        "auditLog('token %SECRET:T%'); return true;",
        "throw new Error('bad %SECRET:T%');",
        "throw '%SECRET:T%';",
        "return %SECRET:SHORT%;",
        "return JSON.parse('%SECRET:T%') === 1;",
        "return claims.user['%SECRET:T%'].x;",
        "var r = httpGet('http://a.test/p/' + encodeURIComponent('%SECRET:T%')); return r.statusCode === 200;",
        "var r = httpGet('http://a.test/', [{ key: 'X', value: '%SECRET:T%' }]); console.log(r.data); return true;",
        "httpGet('http://refuse.test/%SECRET:T%'); return true;",
        "httpGet('%SECRET:T%'); return true;",
        "return '%SECRET:T%';",
    ] {
        let record = run(&sandbox, policy(source)).await;
        holds_no_token(source, &record);
        assert!(!format!("{record:?}").contains("abcd"), "{record:?}");
    }
    for source in [
        "return ['%SECRET:T%'];",
        "return ['x' + '%SECRET:T%'.toUpperCase() + '.example.com'];",
        "return '%SECRET:T%'.split('');",
        "return '%SECRET:T%'.split('').map(function (c) { return String(c.charCodeAt(0)); });",
        "return [encodeURIComponent('%SECRET:T%')];",
    ] {
        let record = run(&sandbox, script("h", ScriptKind::Host, source)).await;
        assert_eq!(kind(&record), FailureKind::WrongResult, "{source}: {record:?}");
        holds_no_token(source, &record);
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn the_cache_keeps_no_secret() {
    let (sandbox, _) = online().await;
    let source =
        "try { cache.put('k', 'Bearer %SECRET:T%', 60); } catch (e) { return e instanceof TypeError; } return false;";
    assert_eq!(run(&sandbox, policy(source)).await.result, Ok(json!(true)));
    assert_eq!(run(&sandbox, policy("return cache.getIfPresent('k') === null;")).await.result, Ok(json!(true)));
    sandbox.stop().await;
}

#[tokio::test]
async fn pieces_in_the_cache_are_judged_together() {
    let (sandbox, _) = online().await;
    let mut batch = batch_with(
        vec![
            policy(
                "try { for (var i = 0; i < 20; i += 5) { cache.put('k' + i, '%SECRET:L%'.substr(i, 5), 60); } } catch (e) { return e instanceof TypeError; } return false;",
            ),
            policy(
                "cache.put('graph', 'eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9.another.token', 60); return '%SECRET:L%' !== cache.getIfPresent('graph');",
            ),
            policy(
                "try { cache.put('a', 'x'.repeat(40000), 60); cache.put('b', 'y'.repeat(40000), 60); } catch (e) { return e.message.indexOf('64 KiB') > 0; } return '%SECRET:L%' === 0;",
            ),
        ],
        Vec::new(),
    );
    batch.secrets = secrets(&[("L", "qwertzuiopasdfghjklm", None)]);
    for record in sandbox.evaluate(batch).await {
        assert_eq!(record.result, Ok(json!(true)), "{record:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn cut_and_scattered_texts_hold_no_part() {
    let (sandbox, _) = online().await;
    for source in [
        "console.log('-'.repeat(65525) + '%SECRET:L%'); return true;",
        "auditLog('-'.repeat(4090) + '%SECRET:L%'); return true;",
        "httpGet('http://a.test/' + '-'.repeat(2028) + '%SECRET:L%'); return true;",
        "throw new Error('-'.repeat(1010) + '%SECRET:L%');",
        "auditLog('%SECRET:L%'.substr(0, 7)); auditLog('%SECRET:L%'.substr(7, 7)); return true;",
        "console.log('%SECRET:L%'.substr(0, 7)); auditLog('%SECRET:L%'.substr(7, 7)); return true;",
        "for (var i = 0; i < 20; i += 5) { httpGet('http://a.test/' + '%SECRET:L%'.substr(i, 5)); } return true;",
    ] {
        let mut batch = batch_with(vec![policy(source)], Vec::new());
        batch.secrets = secrets(&[("L", "qwertzuiopasdfghjklm", None)]);
        let record = sandbox.evaluate(batch).await.remove(0);
        assert!(!format!("{record:?}").contains("qwe"), "{source}: {record:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn runs_with_secrets_have_limits() {
    let (sandbox, _) = online().await;
    let names: Vec<String> = (0..9).map(|at| format!("S{at}")).collect();
    let list: Vec<(&str, &str, Option<&[&str]>)> =
        names.iter().map(|name| (name.as_str(), "some value", None)).collect();
    let sum = |count: usize| {
        let all: Vec<String> = names.iter().take(count).map(|name| format!("'%SECRET:{name}%'")).collect();
        format!("return ({}) !== '';", all.join(" + "))
    };
    let long = |repeat: usize| format!("return '%SECRET:S0%' && ['{}'.repeat({repeat})];", "é ".repeat(10));
    let mut batch = batch_with(
        vec![
            policy(&sum(8)),
            policy(&sum(9)),
            script("h", ScriptKind::Host, "return '%SECRET:S0%' && ['a.example.com'];"),
            script("r", ScriptKind::Host, &long(2500)),
        ],
        Vec::new(),
    );
    batch.secrets = secrets(&list);
    let records = sandbox.evaluate(batch).await;
    assert_eq!(records[0].result, Ok(json!(true)));
    assert_eq!(kind(&records[1]), FailureKind::Syntax);
    assert!(records[1].result.as_ref().unwrap_err().message.contains("more than 8 secrets"), "{records:?}");
    assert!(records[2].result.is_ok(), "{:?}", records[2]);
    assert_eq!(kind(&records[3]), FailureKind::WrongResult);
    sandbox.stop().await;
}

#[tokio::test]
async fn places_are_the_authors() {
    let (sandbox, _) = online().await;
    for (with, without) in [
        ("var a = '%SECRET:T%', b; b.c = 1;", "var a = '%NOTHING:1%', b; b.c = 1;"),
        ("return '%SECRET:T%' + '%SECRET:T%' + @;", "return '%NOTHING:1%' + '%NOTHING:1%' + @;"),
        ("var x = ['%SECRET:T%',\n'%SECRET:T%', null.y];", "var x = ['%NOTHING:1%',\n'%NOTHING:1%', null.y];"),
    ] {
        let with = with.replace("%SECRET:T%", "%SECRET:LONG%");
        let without = without.replace("%NOTHING:1%", "%NOTHIN:LONG%").replace("%NOTHIN:", "%SECRE_:");
        let mut batch = batch_with(vec![policy(&with), policy(&without)], Vec::new());
        batch.secrets = secrets(&[("LONG", TOKEN, None)]);
        let records = sandbox.evaluate(batch).await;
        assert_eq!(place(&records[0]), place(&records[1]), "{with}: {records:?}");
        assert!(place(&records[0]).1.is_some(), "{records:?}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn calls_carry_the_value_and_where_it_may_go() {
    let (sandbox, seen) = online().await;
    let mut batch = batch_with(
        vec![policy(
            "httpPost('https://a.test/x', 'k=%SECRET:A%', 'text/plain', [{ key: 'Authorization', value: 'Bearer %SECRET:B%' }]); return true;",
        )],
        Vec::new(),
    );
    batch.secrets = secrets(&[
        ("A", "value-of-a", Some(&["https://a.test", "https://b.test"])),
        ("B", "value-of-b", Some(&["https://a.test", "https://c.test"])),
        ("C", "value-of-c", Some(&[])),
    ]);
    let record = sandbox.evaluate(batch).await.remove(0);
    assert_eq!(record.result, Ok(json!(true)));
    let seen = std::mem::take(&mut *seen.0.lock().unwrap());
    let [request] = seen.as_slice() else { panic!("one call") };
    assert_eq!(request.body.as_deref(), Some("k=value-of-a"));
    assert_eq!(request.headers, [("Authorization".to_owned(), "Bearer value-of-b".to_owned())]);
    assert_eq!(request.allowed_origins.as_deref(), Some(&[Origin::parse("https://a.test").unwrap()][..]));
    sandbox.stop().await;
}
