//! The script API: what each function takes, answers and refuses.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::script::{FailureKind, ScriptKind};
use sandbox::{HttpBackend, HttpFailure, HttpFuture, HttpMethod, HttpOutcome, HttpRequest, RunRecord, Sandbox};
use serde_json::{Value, json};

use crate::helpers::{config, kind, place, run, sandbox};

/// Answers by the last part of the URL and keeps what it was asked.
#[derive(Default)]
struct Exchange(Mutex<Vec<HttpRequest>>);

impl Exchange {
    fn asked(&self) -> Vec<HttpRequest> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl HttpBackend for Exchange {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        let outcome = match request.url.rsplit('/').next().unwrap() {
            "timeout" => HttpOutcome::Failed(HttpFailure::Timeout),
            "refused" => HttpOutcome::Refused("this address may not be called".to_owned()),
            "invalid" => HttpOutcome::Invalid("the URL is none".to_owned()),
            "missing" => HttpOutcome::Answer { status: 404, body: String::new() },
            _ => HttpOutcome::Answer { status: 200, body: r#"{"groups":["a","ü"]}"#.to_owned() },
        };
        self.0.lock().unwrap().push(request);
        Box::pin(async { outcome })
    }
}

async fn online() -> (Sandbox, Arc<Exchange>) {
    let exchange = Arc::new(Exchange::default());
    let mut config = config();
    config.http = Arc::clone(&exchange) as Arc<dyn HttpBackend>;
    (Sandbox::start(config).await.unwrap(), exchange)
}

async fn object(sandbox: &Sandbox, source: &str) -> RunRecord {
    run(sandbox, ScriptKind::UserClaim, source).await
}

#[track_caller]
fn is(record: &RunRecord, expected: Value) {
    assert_eq!(record.result, Ok(expected));
}

#[tokio::test]
async fn http_functions_pass_on_what_they_are_given() {
    let (sandbox, exchange) = online().await;
    let source = r#"
        var h = [{ key: 'Accept', value: 'a' }, { key: 'accept', value: 'b' }, { key: 'X-Count', value: 3 }];
        var r = httpGet('https://one.example/x', h, 1500.7);
        httpDelete('https://one.example/y');
        httpPost('https://one.example/z', '{"a":1}', 'application/json', h, 900);
        httpPut('https://one.example/w', 'text', undefined, null);
        return { status: r.statusCode, first: JSON.parse(r.data).groups[0], keys: Object.keys(r), plain: Object.getPrototypeOf(r) === Object.prototype };
    "#;
    is(
        &object(&sandbox, source).await,
        json!({ "status": 200, "first": "a", "keys": ["statusCode", "data"], "plain": true }),
    );
    let asked = exchange.asked();
    let headers =
        [("Accept", "a"), ("accept", "b"), ("X-Count", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let [get, delete, post, put] = asked.as_slice() else { panic!("{} calls", asked.len()) };
    assert_eq!(
        (get.method, get.url.as_str(), get.timeout),
        (HttpMethod::Get, "https://one.example/x", Duration::from_millis(1500))
    );
    assert_eq!((get.headers.as_slice(), &get.body, &get.content_type), (headers.as_slice(), &None, &None));
    assert_eq!((delete.method, delete.headers.len()), (HttpMethod::Delete, 0));
    // Three seconds unless the script wishes otherwise (D 7.3).
    assert!(delete.timeout <= Duration::from_secs(3) && delete.timeout > Duration::from_secs(2));
    assert_eq!((post.method, post.body.as_deref()), (HttpMethod::Post, Some("{\"a\":1}")));
    assert_eq!((post.content_type.as_deref(), post.headers.as_slice()), (Some("application/json"), headers.as_slice()));
    assert_eq!((put.method, put.body.as_deref(), &put.content_type), (HttpMethod::Put, Some("text"), &None));
    sandbox.stop().await;
}

#[tokio::test]
async fn http_answers_are_values_null_or_exceptions() {
    let (sandbox, _) = online().await;
    is(
        &object(&sandbox, "return { r: httpGet('http://a/timeout'), s: httpGet('http://a/missing', []).statusCode };")
            .await,
        json!({ "r": null, "s": 404 }),
    );
    let caught =
        "try { httpGet('http://a/invalid'); } catch (e) { return { type: e instanceof TypeError, text: e.message }; }";
    is(&object(&sandbox, caught).await, json!({ "type": true, "text": "the URL is none" }));
    assert_eq!(kind(&object(&sandbox, "httpGet('http://a/invalid'); return {};").await), FailureKind::Type);
    sandbox.stop().await;
}

#[tokio::test]
async fn a_refused_call_ends_the_run_whatever_the_script_does() {
    let (sandbox, exchange) = online().await;
    for source in [
        "\nhttpGet('http://a/refused'); return {};",
        "\ntry { httpGet('http://a/refused'); } catch (e) {} return {};",
        "\ntry { httpGet('http://a/refused'); } catch (e) {} throw 1;",
        "\ntry { httpGet('http://a/refused'); } finally { return {}; }",
        "\ntry { httpGet('http://a/refused'); } catch (e) {} while (true) {}",
        "\ntry { httpGet('http://a/refused'); } catch (e) {} try { httpGet('http://a/more'); } catch (e) {} return {};",
        "\nreturn { get a() { httpGet('http://a/refused'); } };",
    ] {
        let record = object(&sandbox, source).await;
        assert_eq!(kind(&record), FailureKind::HttpRefused, "{source}: {record:?}");
        assert_eq!(record.result.as_ref().unwrap_err().message, "this address may not be called", "{source}");
        assert_eq!(place(&record).0, Some(2), "{source}: {record:?}");
    }
    assert!(exchange.asked().iter().all(|request| request.url == "http://a/refused"));
    is(&object(&sandbox, "return { s: httpGet('http://a/x').statusCode };").await, json!({ "s": 200 }));
    sandbox.stop().await;
}

#[tokio::test]
async fn arguments_are_measured_before_anything_is_sent() {
    let (sandbox, exchange) = online().await;
    for (call, error) in [
        ("httpGet()", "TypeError: the URL is missing"),
        ("httpGet({})", "TypeError: the URL must be a text, not an object"),
        ("httpGet('http://a/' + 'x'.repeat(8192))", "RangeError: the URL is longer than 8192 bytes"),
        ("httpGet('http://a/' + 'ü'.repeat(5000))", "RangeError: the URL is longer than 8192 bytes"),
        ("httpGet('http://a/', 'Accept: x')", "TypeError: the headers must be a list of { key, value }"),
        ("httpGet('http://a/', ['x'])", "TypeError: the headers must be a list of { key, value }"),
        ("httpGet('http://a/', [{ key: 'a' }])", "TypeError: the value of a header is missing"),
        (
            "httpGet('http://a/', new Array(65).fill({ key: 'a', value: 'b' }))",
            "RangeError: a call may have 64 headers at most",
        ),
        (
            "httpGet('http://a/', [{ key: 'a', value: 'x'.repeat(8193) }])",
            "RangeError: the value of a header is longer than 8192 bytes",
        ),
        ("httpGet('http://a/', [], 'soon')", "TypeError: the timeout must be a number of milliseconds"),
        ("httpPost('http://a/', { a: 1 })", "TypeError: the body must be a text, not an object"),
        ("httpPut('http://a/', 'x'.repeat(1048577))", "RangeError: the body is longer than 1048576 bytes"),
        ("cache.put('k'.repeat(1025), 1, 1)", "RangeError: the cache key is longer than 1024 bytes"),
        ("cache.put('k', 'v'.repeat(262144), 1)", "RangeError: the value is larger than the cache takes, 256 KiB"),
        (
            "cache.put('k', undefined, 1)",
            "TypeError: the cache keeps what JSON can hold; a function or undefined it cannot",
        ),
        ("cache.put('k', 1)", "TypeError: the time to live must be a number of seconds"),
        ("cache.getIfPresent()", "TypeError: the cache key is missing"),
        ("auditLog('x'.repeat(4097))", "RangeError: the audit text is longer than 4096 bytes"),
        ("auditLog()", "TypeError: the audit text is missing"),
    ] {
        let source = format!(
            "try {{ {call}; return {{ e: 'none' }}; }} catch (e) {{ return {{ e: e.name + ': ' + e.message }}; }}"
        );
        let record = object(&sandbox, &source).await;
        assert_eq!(record.result, Ok(json!({ "e": error })), "{call}");
    }
    assert!(exchange.asked().is_empty());
    sandbox.stop().await;
}

#[tokio::test]
async fn the_cache_keeps_what_json_can_hold_and_hands_out_copies() {
    let sandbox = sandbox().await;
    let put =
        "cache.put('k', { list: ['a', 1.5, null, true], deep: { text: 'ü' }, f: function () {} }, 60.9); return {};";
    is(&object(&sandbox, put).await, json!({}));
    let read = "var v = cache.getIfPresent('k'); v.list.push('mine'); var w = cache.getIfPresent('k');
        return { v: v, w: w, same: v === w, list: Array.isArray(w.list), own: w.list.indexOf('a') };";
    let value = json!({ "list": ["a", 1.5, null, true], "deep": { "text": "ü" } });
    let mut changed = value.clone();
    changed["list"].as_array_mut().unwrap().push(json!("mine"));
    is(&object(&sandbox, read).await, json!({ "v": changed, "w": value, "same": false, "list": true, "own": 0 }));
    is(
        &object(&sandbox, "return { none: cache.getIfPresent('nothing'), falsy: !cache.getIfPresent('nothing') };")
            .await,
        json!({ "none": null, "falsy": true }),
    );
    for (value, expected) in
        [("'text'", json!("text")), ("['a']", json!(["a"])), ("0", json!(0)), ("null", json!(null))]
    {
        let source = format!("cache.put('v', {value}, 10); return {{ v: cache.getIfPresent('v') }};");
        is(&object(&sandbox, &source).await, json!({ "v": expected }));
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn base64_means_what_it_means_in_browsers() {
    let sandbox = sandbox().await;
    for (expression, expected) in [
        ("btoa('Hello, World!')", json!("SGVsbG8sIFdvcmxkIQ==")),
        ("btoa('')", json!("")),
        ("btoa('\\u00ff\\u0000')", json!("/wA=")),
        ("btoa(12)", json!("MTI=")),
        ("btoa(null)", json!("bnVsbA==")),
        ("atob('SGVsbG8sIFdvcmxkIQ==')", json!("Hello, World!")),
        ("atob(' SGVs\\tbG8\\n')", json!("Hello")),
        ("atob('YQ')", json!("a")),
        ("atob('YR==')", json!("a")),
        ("atob('/wA=') === '\\u00ff\\u0000'", json!(true)),
        ("atob('')", json!("")),
        ("atob(btoa('\\u00fc')).length", json!(1)),
    ] {
        is(&object(&sandbox, &format!("return {{ v: {expression} }};")).await, json!({ "v": expected }));
    }
    for expression in [
        "btoa('\\u20ac')",
        "atob('a')",
        "atob('YQ=')",
        "atob('Y===')",
        "atob('*AAA')",
        "atob('YQ==YQ==')",
        "atob('-_-_')",
    ] {
        let record = object(&sandbox, &format!("return {{ v: {expression} }};")).await;
        assert_eq!(kind(&record), FailureKind::Thrown, "{expression}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn audit_texts_and_output_are_in_the_record() {
    let sandbox = sandbox().await;
    let source =
        "auditLog('one'); auditLog(2); console.log('a', 1, [1, 2]); print('b; '); console.warn({}); return {};";
    let record = object(&sandbox, source).await;
    assert_eq!(record.audit, ["one", "2"]);
    assert_eq!(record.output, "a 1 1,2\nb; \n[object Object]\n");
    sandbox.stop().await;
}

#[tokio::test]
async fn answers_of_one_time_codes_have_two_names() {
    let sandbox = sandbox().await;
    let source = "var u = claims.user; return { otp: u.hasOtp('x', 5), mfa: u.hasMfa('x', 5), reason: u.hasReason('after-hours', 60), keys: JSON.stringify(u).indexOf('has') };";
    is(&object(&sandbox, source).await, json!({ "otp": false, "mfa": false, "reason": true, "keys": -1 }));
    sandbox.stop().await;
}
