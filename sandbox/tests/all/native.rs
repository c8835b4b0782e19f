//! The native lane against the JavaScript engine: what runs natively answers exactly as a worker does.

#[path = "native/generator.rs"]
mod generator;

use std::sync::Arc;

use engine::script::ScriptKind;
use engine::script::native::{Program, compile, compile_beginning};
use engine::script::tree::{StmtKind, Tree};
use sandbox::{Batch, Lane, LaneChoice, RunRecord, Sandbox, Script};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use crate::helpers::{claims, sandbox, script};
use generator::Generator;

const NOW: OffsetDateTime = datetime!(2026-01-05 09:07:03.250 UTC);
/// Scripts that are read at once, as functions of one text.
const TOGETHER: usize = 40;

/// The trees of many scripts, read as the functions of one.
async fn trees(sandbox: &Sandbox, sources: &[String]) -> Vec<Tree> {
    let whole: String =
        sources.iter().enumerate().map(|(at, source)| format!("function s{at}(claims) {{\n{source}\n}}\n")).collect();
    let admission = sandbox.admit(script("all", ScriptKind::UserClaim, &whole)).await.unwrap();
    let function = |kind: &StmtKind| match kind {
        StmtKind::Function(function) => Tree { body: function.body.clone() },
        other => panic!("{other:?}"),
    };
    admission.tree.body.iter().map(|stmt| function(&stmt.kind)).collect()
}

async fn in_worker(
    sandbox: &Sandbox,
    kind: ScriptKind,
    sources: &[String],
    claims: &Value,
    lane: Lane,
) -> Vec<RunRecord> {
    let scripts: Vec<Script> = sources.iter().map(|source| script("s", kind, source)).collect();
    let mut batch = Batch::new(Arc::new(claims.clone()), NOW, scripts, Arc::from([]));
    batch.lane = LaneChoice::Only(lane);
    sandbox.evaluate(batch).await
}

fn now_ms() -> i64 {
    i64::try_from(NOW.unix_timestamp_nanos() / 1_000_000).unwrap()
}

/// What the native lane answers; also of scripts of which only the beginning is native.
fn native(tree: &Tree, kind: ScriptKind, claims: &Value) -> Option<Value> {
    compile_beginning(tree, kind, &|_| None).ok()?.run(claims, now_ms()).ok()
}

/// Every script runs natively and answers what the engine answers.
async fn same(kind: ScriptKind, sources: &[&str]) {
    let sandbox = sandbox().await;
    let sources: Vec<String> = sources.iter().map(|&source| source.to_owned()).collect();
    let trees = trees(&sandbox, &sources).await;
    let records = in_worker(&sandbox, kind, &sources, &claims(), Lane::Fresh).await;
    for ((source, tree), record) in sources.iter().zip(&trees).zip(records) {
        let program = compile(tree, kind, &|_| None).unwrap_or_else(|reason| panic!("{source}: {reason:?}"));
        let answer = program.run(&claims(), now_ms()).unwrap_or_else(|bail| panic!("{source}: {bail}"));
        assert_eq!(Ok(answer), record.result, "{source}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn values_and_operators() {
    same(
        ScriptKind::UserClaim,
        &[
            "return { a: 1 + 2 * 3 - 4 / 8, b: 7 % 3, c: -7 % 3, d: 1 / 0, e: 0 / 0, f: 0.1 + 0.2, g: -0 };",
            "return { a: 'x' + 1, b: 1 + 'x', c: 'x' + null, d: 'x' + undefined, e: 'x' + true, f: '' + [1, [2, 3], null] };",
            "return { a: '5' * '2', b: '5' - 2, c: +'', d: +'abc', e: +null, f: +undefined, g: +true, h: -'3.5' };",
            "return { a: 1 == '1', b: null == undefined, c: null == 0, d: '' == 0, e: NaN == NaN, f: true == 1, g: 'a' == 'a' };",
            "return { a: 1 === '1', b: null === undefined, c: [] === 1, d: 'a' !== 'b', e: 0 === -0 };",
            "return { a: 'a' < 'b', b: 'B' < 'a', c: '10' < '9', d: '10' < 9, e: undefined < 1, f: null >= 0, g: '\\u{1F600}' < '\\uFFFF' };",
            "return { a: typeof 1, b: typeof 'x', c: typeof undefined, d: typeof null, e: typeof [], f: typeof claims, g: typeof claims.user.none };",
            "return { a: !0, b: !'', c: !NaN, d: ![], e: !null, f: !'0' };",
            "return { a: `${1}-${'x'}-${null}-${[1, 2]}`, b: void 1, c: (1, 2), d: true ? 1 : 2 };",
            "return { a: 0 || 'x', b: 0 ?? 'x', c: null ?? 'x', d: 1 && 2, e: '' && 2 };",
            "var a = 1; var b = a++ + ++a; a += 3; a *= 2; b -= 1; var c; c ??= 'x'; var d = 1; d &&= 0; return { a: a, b: b, c: c, d: d };",
            "var l = [1], o = {}; return { a: l === l, b: l === [1], c: o == o, d: o === l, e: claims.user === claims.user, f: claims.user.groups === claims.user.groups, g: claims.user.groups === claims.user.emails };",
            "return { a: '' + {}, b: [1] == 1, c: [] == '', d: {} == '[object Object]', e: [2] > 1, f: +[], g: +[7], h: +[1, 2], i: `${claims.user}` };",
            "return { a: 'x'[-1], b: [1][1.5], c: (1)[0], d: [1][-1], e: 'x'[0], f: 0.1 + '', g: 1e20 + '', h: 1 / 3 + '', i: -0 + '', j: NaN + '', k: -1 / 0 + '' };",
            "var a = '1'; a++; var b = 'x'; b += 1; return { a: a, b: b };",
            "return { a: [1, ...[2, 3], ...[]].length, b: { ...{ x: 1, y: 2 }, y: 3, ...null }, c: [undefined, null] };",
            "var o = { a: 1, a: 2, 'b c': 3, nested: { x: [1] } }; return { a: o.a, b: o['b c'], c: o.nested.x[0], d: o.none, e: o.nested };",
        ],
    )
    .await;
}

#[tokio::test]
async fn texts() {
    same(
        ScriptKind::UserClaim,
        &[
            "var t = 'Hello'; return { a: t.length, b: t.indexOf('l'), c: t.lastIndexOf('l'), d: t.indexOf(''), e: t.indexOf('z') };",
            "var t = 'Hello'; return { a: t.slice(1, 3), b: t.slice(-2), c: t.slice(2, 1), d: t.slice(), e: t.slice(1, -1) };",
            "var t = 'Hello'; return { a: t.substring(3, 1), b: t.substring(-5, 2), c: t.substring(2), d: t.substring(9), e: t.substr(1, 2), f: t.substr(-3, 2), g: t.substr(1, -1), h: t.substr(2) };",
            "var t = 'Hello'; return { a: t.charAt(1), b: t.charAt(9), c: t.charAt(), d: t[1], e: t[9], f: t.charAt(-1) };",
            "return { a: 'a,b,,c'.split(','), b: ''.split(','), c: 'abc'.split('x'), d: 'a-b'.split('-')[1] };",
            "return { a: '  x\\t\\n\\u00a0\\ufeff'.trim(), b: ' x '.trimStart(), c: ' x '.trimEnd(), d: '\\u0085x'.trim() };",
            "return { a: 'AbC'.toLowerCase(), b: 'AbC'.toUpperCase(), c: 'abc'.includes('b'), d: 'abc'.startsWith('ab'), e: 'abc'.endsWith('bc') };",
            "return { a: 'abcabc'.replace('b', 'X'), b: 'abc'.replace('', 'X'), c: 'abc'.concat(1, null), d: 'abc'.containsText('b'), e: 'x'.toString() };",
            "var t = 'a\\u{1F600}b'; return { a: t.length, b: t.indexOf('b'), c: t.slice(0, 1), d: t.slice(3), e: t.slice(1, 3), f: t.substring(9) };",
            "var t = 'äöü'; return { a: t.length, b: t[1], c: t.indexOf('ü'), d: t.slice(1), e: t < 'b', f: t.split('ö') };",
            "return { a: parseInt('42px', 10), b: parseInt('x'), c: parseInt('  -7'), d: parseFloat('10.15.7'), e: parseFloat('3.'), f: parseInt(12.7), g: parseFloat('x') };",
            "return { a: Number('12'), b: Number(' 1.5 '), c: Number(''), d: Number('abc'), e: Number(null), f: Number(), g: Number(true) };",
            "return { a: String(1), b: String(null), c: String([1, 2]), d: String(), e: String(true), f: String(-0) };",
            "return { a: isNaN('x'), b: isNaN('1'), c: isFinite(1), d: Number.isInteger(1.5), e: Number.isNaN('x'), f: Number.isFinite('1') };",
        ],
    )
    .await;
}

#[tokio::test]
async fn lists_and_objects() {
    same(
        ScriptKind::UserClaim,
        &[
            "var g = claims.user.groups; return { a: g.length, b: g[0], c: g[9], d: g.indexOf('CN=all,OU=x'), e: g.includes('x'), f: g.join('|') };",
            "var g = claims.user.groups; return { a: g.some(x => x.length > 15), b: g.every(x => x.length > 15), c: g.filter(x => x.includes('all')), d: g.map(x => x.slice(3, 6)) };",
            "var g = claims.user.groups; return { a: g.find(x => x.includes('all')), b: g.find(x => false), c: g.findIndex(x => x.includes('all')), d: g.map((x, i) => i) };",
            "var n = 0; claims.user.groups.forEach(function (g, i, all) { n += g.length * i + all.length; }); return { n: n };",
            "return { a: [1, 2, 3].reduce((sum, x) => sum + x, 0), b: [1, 0, 'a', ''].filter(Boolean), c: [1, 2].map(String), d: ['1', 'x'].map(Number) };",
            "return { a: [1, 2].concat([3], 4, []), b: [1, 2, 3].slice(1), c: [1, 2, 3].slice(-2, -1), d: [3, 1].slice() };",
            "return { a: [NaN].indexOf(NaN), b: [NaN].includes(NaN), c: [1, null].containsText('1'), d: [12].containsText('1'), e: [].containsText('') };",
            "return { a: Object.keys(claims.user.labels), b: Object.values(claims.user.labels), c: Array.isArray([]), d: Array.isArray('x') };",
            "return { a: claims.user.labels.hasOwnProperty('team'), b: claims.user.hasOwnProperty('none'), c: claims.user?.none?.x, d: claims.none?.x.y.z };",
            "const isDev = g => g.startsWith('CN=dev'); function has(n) { return claims.user.groups.some(g => g.includes(n)); } return { a: claims.user.groups.some(isDev), b: has('all'), c: has('none') };",
            "return { a: claims.user.emails[0].split('@')[1], b: claims.user.agScripted.teams.join(), c: claims['user']['age'], d: claims.user.score };",
            "return claims.user.labels;",
            "return { user: claims.user };",
        ],
    )
    .await;
}

#[tokio::test]
async fn helpers_dates_and_numbers() {
    same(
        ScriptKind::UserClaim,
        &[
            "var d = new Date(); return { h: d.getHours(), m: d.getMinutes(), s: d.getSeconds(), ms: d.getMilliseconds(), d: d.getDay(), y: d.getFullYear(), mo: d.getMonth(), da: d.getDate(), t: d.getTime(), n: Date.now() };",
            "var d = new Date('2024-02-28T23:59:58Z'); return { a: d.getTime(), b: d.getDay(), c: new Date() - d, d: d < new Date(), e: new Date(0).getUTCFullYear(), f: new Date(-1).getUTCMonth() };",
            "return { a: Date.parse('2026-01-05'), b: Date.parse('2026-01-05T09:00:00.500Z'), c: new Date(951782400000).getDate() };",
            "return { a: Math.floor(-1.5), b: Math.ceil(1.2), c: Math.round(2.5), d: Math.round(-2.5), e: Math.trunc(-1.7), f: Math.abs(-3), g: Math.max(1, '3', 2), h: Math.min(), i: Math.max(1, NaN) };",
            "return { a: claims.system.isClientInNetwork('10.20.0.0/16'), b: claims.system.isClientInNetwork('10.20.30.40'), c: claims.device.isClientInNetwork('192.168.0.0/16'), d: claims.device.isClientInNetwork('172.16.0.0/12') };",
            "return { a: claims.system.inTimeRange('09:00', '09:30'), b: claims.system.inTimeRange('22:00', '06:00'), c: claims.system.inTimeRange('22:00', '10:00') };",
            "return { a: claims.user.hasReason('after-hours', 60), b: claims.user.hasReason('after-hours', 1), c: claims.user.hasOtp('after-hours', 60), d: claims.user.hasPassword('x', 5) };",
        ],
    )
    .await;
}

#[tokio::test]
async fn statements() {
    same(
        ScriptKind::Policy,
        &[
            "var result = false; if (claims.user.groups && claims.user.groups.containsText('dev')) { result = true; } else { return false; } return result;",
            "var x = hoisted; var hoisted = 1; return x === undefined && later() === 2; function later() { return 2; }",
            "let a = 1; { let a = 2; a++; } if (true) { var b = a; } return a === 1 && b === 1;",
            "switch (claims.device.os.family) { case 'windows': return false; case 'linux': var x = 1; case 'mac': x += 1; break; default: return false; } return x === 2;",
            "switch (5) { default: var y = 1; case 1: y = (y || 0) + 1; } return y === 2;",
            "const limit = 10; let n = 0; [1, 2, 3].forEach(x => { let twice = x * 2; n += twice; }); return n === 12 && limit === 10;",
            "function outer(a) { var t = a; function inner(b) { return t + b; } return inner(1) + inner(2); } return outer(1) === 5 && outer(2) === 7;",
            "var f = function (x) { return x > 1; }; return [1, 2].some(f) && !f(1) && f(undefined) === false;",
            ";;{} if (false) ; else return true;",
        ],
    )
    .await;
    same(ScriptKind::Host, &["return ['a', 443, 8080].concat(claims.user.groups);", "return [];"]).await;
    same(ScriptKind::AppShortcut, &["return [{ name: 'x', url: 'https://' + claims.user.username }];"]).await;
}

#[tokio::test]
async fn criteria_run_natively_too() {
    let sandbox = sandbox().await;
    let sources =
        ["return claims.user.age > 40;", "return older(claims) && !none(claims);", "return null;"].map(str::to_owned);
    let trees = trees(&sandbox, &sources).await;
    let compiled = |at: usize| compile(&trees[at], ScriptKind::Criteria, &|_| None).ok().map(Arc::new);
    let criteria = |name: &str| -> Option<Arc<Program>> {
        match name {
            "older" => compiled(0),
            "none" => compiled(2),
            _ => None,
        }
    };
    let program = compile(&trees[1], ScriptKind::Policy, &criteria).unwrap();
    assert_eq!(program.run(&claims(), now_ms()), Ok(json!(true)));
    assert!(compile(&trees[1], ScriptKind::Policy, &|_| None).is_err());
    sandbox.stop().await;
}

/// What is not exactly covered is left to a worker, whether that shows when compiling or only when running.
#[tokio::test]
async fn everything_else_is_left_to_a_worker() {
    let sandbox = sandbox().await;
    let sources: Vec<String> = [
        "return claims.user.none.x;",
        "return claims.user.constructor;",
        "return ({}).toString;",
        "return { a: claims.user.__proto__ };",
        "return { a: 'x'.constructor };",
        "return { a: [].push };",
        "return { a: 'ä'.toUpperCase() };",
        "return { a: '\\u{1F600}'.slice(0, 1) };",
        "return { a: '' + 0.1e-6 };",
        "return { a: '' + 1e21 };",
        "return { a: '' + { toString: 1 } };",
        "return { a: new Date() == new Date() };",
        "return { a: Number('0x10') };",
        "return { a: +'1e3' };",
        "for (var i = 0; i < 3; i++) {} return {};",
        "while (false) {} return {};",
        "try { return {}; } catch (e) { return {}; }",
        "throw new Error('x');",
        "function f() { return f(); } return { a: f() };",
        "function f() { return g(); } function g() { return f(); } return {};",
        "var f = function () { return 1; }; f = function () { return 2; }; return { a: f() };",
        "return { a: g() }; var g = function () { return 1; };",
        "x = 1; return { x: x };",
        "claims = 1; return {};",
        "claims.user.x = 1; return {};",
        "const c = 1; c = 2; return {};",
        "var v = t; let t = 1; return { v: v };",
        "console.log('x'); return {};",
        "return { a: Math.random() };",
        "return { a: new Date() };",
        "return { a: /x/.test('x') };",
        "return { a: eval('1') };",
        "return { a: this };",
        "return { a: arguments.length };",
        "return { a: new Map() };",
        "return { a: [1, , 2] };",
        "return { a: [3, 1].sort() };",
        "return { get a() { return 1; } };",
        "return { a: 'x'.contains('x') };",
        "return { a: claims.user.hasReason('after-hours', '60') };",
        "return { a: claims.system.isClientInNetwork('nonsense') };",
        "return { a: 'a'.repeat(3) };",
        "return 1;",
        "return claims;",
        "return [1];",
        "",
    ]
    .map(str::to_owned)
    .to_vec();
    for part in sources.chunks(TOGETHER) {
        for (tree, source) in trees(&sandbox, part).await.iter().zip(part) {
            assert_eq!(native(tree, ScriptKind::UserClaim, &claims()), None, "{source}");
        }
    }
    sandbox.stop().await;
}

/// A run is bounded in steps, text and depth, on the stack of any thread.
#[tokio::test]
async fn a_run_is_bounded() {
    let sandbox = sandbox().await;
    let list = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = format!(
        "var n = 0; {list}.forEach(a => {list}.forEach(b => {list}.forEach(c => {list}.forEach(d => {list}.forEach(e => {{ n += 1; }}))))); return {{ n: n }};"
    );
    let doubling =
        format!("var t = 'x'; {list}.forEach(a => {list}.forEach(b => {{ t += t; }})); return {{ t: t.length }};");
    let longer = format!(
        "var l = [1]; {list}.forEach(a => {list}.forEach(b => {{ l = l.concat(l); }})); return {{ n: l.length }};"
    );
    let calls: String =
        (0..60).map(|at| format!("function f{at}(x) {{ return (((((f{}(x)))))) || x; }}\n", at + 1)).collect();
    let chain = format!("{calls} function f60(x) {{ return x; }} return {{ a: f0(1) }};");
    let deep = format!("return {{ a: {}1 }};", "!".repeat(60));
    let sources = [nested, doubling, longer, chain, deep];
    let trees = trees(&sandbox, &sources).await;
    let answers = std::thread::Builder::new()
        .stack_size(2 * 1024 * 1024)
        .spawn(move || trees.iter().map(|tree| native(tree, ScriptKind::UserClaim, &claims())).collect::<Vec<_>>());
    let answers = answers.unwrap().join().unwrap();
    assert_eq!(answers[..4], [None, None, None, None]);
    sandbox.stop().await;
}

/// Generated scripts over generated claims: natively, in a context of their own and in the shared one.
#[tokio::test]
async fn generated_scripts_answer_alike_in_all_lanes() {
    let long = std::env::var("PORTCULLIS_LONG").is_ok_and(|value| value == "1");
    let rounds = if long { 200_000 / TOGETHER } else { 2_000 / TOGETHER };
    let sandbox = sandbox().await;
    let (mut ended, mut natively, mut warm) = (0_usize, 0_usize, 0_usize);
    for round in 0..rounds {
        let mut generator = Generator::new(u64::try_from(round).unwrap());
        let sources: Vec<String> = (0..TOGETHER).map(|_| generator.script()).collect();
        let claims = generator.claims();
        let trees = trees(&sandbox, &sources).await;
        let fresh = in_worker(&sandbox, ScriptKind::UserClaim, &sources, &claims, Lane::Fresh).await;
        let shared = in_worker(&sandbox, ScriptKind::UserClaim, &sources, &claims, Lane::Warm).await;
        for (at, source) in sources.iter().enumerate() {
            let expected = &fresh[at].result;
            let answer = native(&trees[at], ScriptKind::UserClaim, &claims);
            ended += usize::from(expected.is_ok());
            natively += usize::from(answer.is_some());
            if let Some(answer) = answer {
                assert_eq!(&Ok(answer), expected, "natively, round {round}: {source}\n{claims}");
            }
            if shared[at].lane == Lane::Warm && shared[at].instructions > 0 {
                warm += 1;
                assert_eq!(&shared[at].result, expected, "warm, round {round}: {source}\n{claims}");
            }
        }
    }
    let all = rounds * TOGETHER;
    println!("{all} scripts: {ended} gave a result, {natively} of them natively, {warm} ran warm");
    assert!(natively * 10 > ended * 7, "{natively} of {ended}");
    assert!(warm * 10 > all * 9, "{warm} of {all}");
    sandbox.stop().await;
}
