//! Where the corpus comes from: whole messages and broken ones, scripts as people and attackers write them, URLs in every spelling.

use std::time::Duration;

use engine::script::lanes::Lane;
use engine::script::{Failure, FailureKind, ScriptKind};
use serde_json::{Value, json};

use crate::broker::address::tests::SPELLINGS;
use crate::http::HttpMethod;
use crate::wire::{
    AdmitRequest, Answer, BatchRequest, FromWorker, Hello, HostCall, HostReply, HttpCallWire, Limits, ToWorker,
    WireLane, WireScript, Writer, frame,
};
use crate::worker;

/// Target, name and content of every seed.
pub(super) fn all() -> Vec<(&'static str, String, Vec<u8>)> {
    let scripts = SCRIPTS.iter().map(|source| (*source).to_owned()).chain(deep());
    let scripts = scripts.enumerate().map(|(index, source)| ("admission", format!("{index:03}"), source.into_bytes()));
    let frames = frames().into_iter().enumerate().map(|(index, bytes)| ("frames", format!("{index:03}"), bytes));
    let urls = urls().into_iter().enumerate().map(|(index, bytes)| ("broker_url", format!("{index:03}"), bytes));
    scripts.chain(frames).chain(urls).collect()
}

fn body(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut buffer = Vec::new();
    frame(&mut buffer, write).unwrap();
    buffer.split_off(4)
}

fn frames() -> Vec<Vec<u8>> {
    let asked = to_worker();
    let said = from_worker();
    let mut whole: Vec<Vec<u8>> = asked.iter().map(|message| body(|to| message.write(to))).collect();
    whole.extend(said.iter().map(|message| body(|to| message.write(to))));
    let mut broken = Vec::new();
    for bytes in whole.iter().step_by(2) {
        broken.push(bytes[..bytes.len() / 2].to_vec());
        let mut longer = bytes.clone();
        longer.push(0);
        broken.push(longer);
        if bytes.len() > 5 {
            let mut lying = bytes.clone();
            lying[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
            broken.push(lying);
        }
    }
    broken.extend([Vec::new(), vec![0], vec![255; 64], 16_777_217_u32.to_le_bytes().to_vec()]);
    whole.extend(broken);
    whole
}

fn to_worker() -> Vec<ToWorker<'static>> {
    let limits = Limits { instructions: 10_000_000, memory: 1 << 27, java_members: true };
    let plain =
        WireScript { name: "p", kind: ScriptKind::Policy, source: "return claims.user.x === 'y';", secret: false };
    let secret = WireScript { name: "ü", kind: ScriptKind::UserClaim, source: "return {};", secret: true };
    let criterion = WireScript { name: "staff", kind: ScriptKind::Criteria, source: "return true;", secret: false };
    let batch = |lane, criteria, scripts| {
        let claims = br#"{"user":{},"device":{},"system":{},"responses":[]}"#;
        ToWorker::Batch(BatchRequest { limits, serial: 7, lane, now_ms: -1, claims, criteria, scripts })
    };
    let mut asked = vec![
        batch(WireLane::Any, vec![], vec![plain]),
        batch(WireLane::Warm, vec![criterion], vec![plain, plain]),
        batch(WireLane::Fresh, vec![criterion], vec![secret]),
        batch(WireLane::Any, vec![], vec![]),
        ToWorker::Admit(AdmitRequest { limits, script: plain }),
        ToWorker::Admit(AdmitRequest { limits, script: secret }),
    ];
    asked.extend(
        [
            HostReply::Done,
            HostReply::Cached("[1,\"a\"]".into()),
            HostReply::Nothing,
            HostReply::Http { status: 200, body: "{}".into() },
            HostReply::Http { status: 65535, body: String::new() },
            HostReply::Invalid("no".into()),
            HostReply::Refused("never".into()),
        ]
        .map(ToWorker::Reply),
    );
    asked
}

fn from_worker() -> Vec<FromWorker> {
    let kinds = [
        FailureKind::Type,
        FailureKind::Thrown,
        FailureKind::Memory,
        FailureKind::HttpRefused,
        FailureKind::WrongResult,
    ];
    let failures =
        kinds.map(|kind| Err(Failure { kind, script: "s".into(), message: "m".into(), line: Some(3), column: None }));
    let results =
        [json!(true), json!(["10.0.0.1", "dns://a"]), json!({"a": [1.5, null, -3, {"b": "ü"}]}), json!([[[[]]]])];
    let mut said: Vec<FromWorker> = results.map(Ok).into_iter().chain(failures.clone()).map(answer).collect();
    said.extend([FromWorker::Hello(Hello { thread: 12, layers: 0x3ff }), FromWorker::OutOfMemory]);
    said.extend(
        failures
            .into_iter()
            .take(2)
            .map(|failure: Result<Value, Failure>| FromWorker::Admission(Err(failure.unwrap_err()))),
    );
    let sources = SCRIPTS.iter().take(36).map(|source| (*source).to_owned()).chain(deep());
    let trees = sources.filter_map(|source| worker::read_tree("s", &source).ok());
    said.extend(trees.map(|tree| FromWorker::Admission(Ok(tree))));
    said.extend(calls().map(FromWorker::Call));
    said
}

fn answer(result: Result<Value, Failure>) -> FromWorker {
    FromWorker::Answer(Answer {
        result,
        output: "one\ntwo\n".into(),
        duration: Duration::from_micros(17),
        instructions: 99,
        lane: Lane::Warm,
        claims_read: vec!["user.groups".into(), "*".into()],
        cpu: Duration::from_millis(3),
        retire: true,
    })
}

fn calls() -> [HostCall; 7] {
    let http = |method, body: Option<&str>, timeout| {
        HostCall::Http(HttpCallWire {
            method,
            url: "https://api.example.com/v1?q=ü".into(),
            headers: vec![("Authorization".into(), "Bearer t".into()), (String::new(), "\r\n".into())],
            body: body.map(str::to_owned),
            content_type: body.map(|_| "application/json".to_owned()),
            timeout,
        })
    };
    [
        http(HttpMethod::Get, None, None),
        http(HttpMethod::Post, Some("{}"), Some(Duration::from_secs(3))),
        http(HttpMethod::Put, Some(""), Some(Duration::ZERO)),
        http(HttpMethod::Delete, None, Some(Duration::from_millis(u64::MAX))),
        HostCall::CacheGet { key: "k".into() },
        HostCall::CachePut { key: "k".into(), value: "[1]".into(), ttl: Duration::from_secs(60) },
        HostCall::Audit { text: "done".into() },
    ]
}

/// Scripts whose trees are as deep as trees may be, or a little deeper: the supervisor walks them on an ordinary stack.
fn deep() -> impl Iterator<Item = String> {
    let around =
        |open: &str, close: &str, count: usize| format!("return {}1{};", open.repeat(count), close.repeat(count));
    [
        around("!", "", 190),
        around("-(", ")", 190),
        around("[", "]", 190),
        around("{a:", "}", 190),
        around("f(", ")", 190),
        around("(function () { return ", "; })()", 60),
        around("a[", "]", 190),
        around("a ? b : ", "", 190),
        around("`${", "}`", 95),
        around("(x => ", ")", 95),
        around("1 + ", "", 400),
        around("a && ", "", 400),
        format!("return a{};", ".b".repeat(190)),
        format!("return claims.user.groups{};", ".map(g => g).filter(g => g)".repeat(60)),
        format!("{}return 1;{}", "if (a) {".repeat(95), "}".repeat(95)),
        format!("{}return 1;{}", "for (;;) { try {".repeat(60), "} catch (e) {} }".repeat(60)),
        format!("{}{}", "var a = 1;".repeat(2_000), "return a;"),
    ]
    .into_iter()
}

/// The first byte lists networks; see [`super::super::broker_url`].
fn urls() -> Vec<Vec<u8>> {
    let spellings = SPELLINGS.iter().enumerate().map(|(index, (host, _))| {
        let choice = [0, 0x20, 0x41, 0xff][index % 4];
        [&[choice], host.as_bytes()].concat()
    });
    let whole = [
        "http://127.0.0.1/",
        "https://user:pass@api.example.com:8443/a/b?c=d#e",
        "http://[::ffff:10.0.0.1]:80/",
        "HTTP:\\\\127.1\\@8.8.8.8/",
        "http://%31%32%37.1/",
        "file:///etc/passwd",
        "http://a.example/\n//b.example/x",
        "http://a.example/x\nhttps://a.example/y",
        "http://a.example:81/x\n?y",
        "https://a.example/\nhttp://a.example/",
        "http://a.example/\n\\\\b.example",
        "http://10.0.0.1/\nhttp://0xa.1/",
        "http://xn--mnchen-3ya.de/",
        "http://münchen.de/",
        "http://a\u{ad}b.example/",
        "http://faß.example/",
        "http://１２７．１/",
        "http://a.example/|^`{}\"<>[] \t?|^`{}\"<>[]'",
        "http://a.example/%0d%0aHost:%20b",
        "http://_dmarc.a_b.example/",
        "http://a..example./",
        "http://1e100.net/",
        "http://0x/",
        "http://0x.0x.0/",
        "http://1.2.3.08/",
        "http://[1:2:3:4:5:6:7:8]/",
        "http://[::1.2.3.4]/",
        "http://[64:ff9b:1::10.0.0.1]/",
        "http://[2001:0:1:2:3:4:5:6]/",
        "http://[fe80::5efe:1.2.3.4]/",
    ];
    let whole = whole.iter().map(|url| [b"\x00", url.as_bytes()].concat());
    spellings.chain(whole).collect()
}

/// Bodies of functions.
const SCRIPTS: &[&str] = &[
    "return true;",
    "return claims.user.groups.indexOf('admins') >= 0;",
    "return claims.user.groups && claims.user.groups.containsText('CN=staff');",
    "var g = claims.user.groups || [];\nfor (var i = 0; i < g.length; i++) { if (g[i] === 'x') { return true; } }\nreturn false;",
    "if (claims.device.os && claims.device.os.family === 'windows') { return isClientInNetwork('10.0.0.0/8'); }\nreturn inTimeRange('08:00', '18:00');",
    "return staff(claims) && !contractors(claims);",
    "let r = httpGet('https://api.example.com/users/' + encodeURIComponent(claims.user.username), [{key: 'Authorization', value: 'Bearer %SECRET:TOKEN%'}]);\nif (r && r.statusCode === 200) { return JSON.parse(r.data).ok === true; }\nreturn false;",
    "const hosts = [];\nfor (const h of JSON.parse(httpGet('http://10.0.0.5/hosts').data)) { hosts.push(h.ip); }\nreturn hosts;",
    "var cached = cache.getIfPresent('k'); if (cached) { return cached; }\nvar v = {a: [1, 2]}; cache.put('k', v, 60); return v;",
    "return {groups: claims.user.groups.map(g => g.split(',')[0].replace(/^CN=/i, ''))};",
    "return `${claims.user.username}@${'example' + `.${'com'}`}`;",
    "function f(a, b = 1, ...rest) { return a + b + rest.length; }\nreturn f(1) > 1;",
    "class A { constructor() { this.x = 1; } get y() { return this.x; } static z() { return new A(); } }\nreturn A.z().y === 1;",
    "var {user: {username: name = 'x', ...others}, device} = claims; return [name, ...Object.keys(others)];",
    "try { null.x; } catch (e) { return e instanceof TypeError; } finally { console.log('done'); }",
    "label: for (;;) { while (true) { break label; } }\nreturn true;",
    "switch (claims.user.provider) { case 'a': case 'b': return true; default: return false; }",
    "return (function () { return this; })().constructor.constructor('return 1')();",
    "x = 1; y.z = 2; delete y.z; return x++ + --x;",
    "Array.prototype.indexOf = function () { return 0; }; return true;",
    "return [1, , 3, ...[4]].some(function (x) { return x > 3; });",
    "var o = {__proto__: {a: 1}, get b() { return 2; }, ['c' + 1]: 3, 'd': 4, 5: 6, e() {}}; return o.a === 1;",
    "return a?.b?.[c]?.(d) ?? e;",
    "return (a, b, c) => ({a, b, c});",
    "var a = 1; { let a = 2; var b = a; } return a + b === 3;",
    "return typeof nothing === 'undefined' && void 0 === undefined;",
    "return new Date().getHours() >= 8 && Date.now() > 0;",
    "return /(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaab');",
    "return /[\\]/]{1,2}(?<n>x)\\k<n>/giu.exec('x') === null;",
    "return 'a\\u0041\\x41\\u{1F600}\\\n' + \"\\0\" + '\u{2028}';",
    "return 0x1F + 0b11 + 0o17 + 017 + 1e3 + .5 + 5. + 1_000;",
    "return 123n ** 45n > 0n;",
    "var async = 1, of = 2, get = 3, let_ = 4, yield_ = 5; return async + of + get;",
    "async function f() { await 1; } function* g() { yield 1; yield* [2]; } return [...g()].length;",
    "with (claims) { return user; }",
    "return eval('1') + new Function('return 1')();",
    "var s = Symbol.for('x'); return s.description;",
    "return Java.type('java.lang.String').valueOf('x');",
    "<!-- comment\nreturn true;\n--> comment",
    "return true; // comment\n/* another\n * comment */",
    "'use strict'; return this === undefined;",
    "return arguments.length + arguments.callee.name;",
    "return new.target === undefined;",
    "if (a) return 1; else if (b) return 2; else return 3;",
    "do { var i = 0; i++; } while (i < 3) return i;",
    "for (var k in claims.user) { if (claims.user.hasOwnProperty(k)) continue; }\nreturn [];",
    "for (let [k, v] of Object.entries(claims.user)) { console.log(k, v); }\nreturn [];",
    "return tag`a${1}b${2}c`;",
    "return a ? b ? c : d : e ? f : g;",
    "return a || b && c | d ^ e & f == g < h << i + j * k ** l;",
    "a ||= b; a &&= c; a ??= d; a >>>= 1; a **= 2; return a;",
    "import x from 'y'; export default x;",
    "return import('x');",
    "return true; }",
    "}); (function () {",
    "return @;",
    "return 'unterminated",
    "return `unterminated ${",
    "return /unterminated",
    "/* unterminated",
    "return ((((((((((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))))))))));",
    "return [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]];",
    "return !!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!true;",
    "return 1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1+1;",
    "return a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z[0][1][2]()()();",
    "{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}}",
    "function a() { function b() { function c() { return arguments; } return c; } return b; } return a()()();",
    "let claims = 2; return claims;",
    "var \u{fc}ber = 1, \\u0061b = 2; return \u{fc}ber + ab;",
    "\u{feff}return\u{a0}true\u{2029};",
    "return\ntrue;",
    "",
    ";;;;",
    "#!/usr/bin/node\nreturn 1;",
    "debugger; return 1;",
    "return super.x;",
    "class A extends B { #p = 1; static { this.q = 2; } has(o) { return #p in o; } }\nreturn 1;",
];
