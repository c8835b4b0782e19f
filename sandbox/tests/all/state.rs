//! What one run could leave for another, and what a fresh context would show that a shared one must show too.

use engine::script::ScriptKind;
use sandbox::{Lane, LaneChoice, RunRecord, Sandbox, Script};
use serde_json::json;

use crate::helpers::{batch_with, config, criterion, run, sandbox, script};

async fn in_lane(sandbox: &Sandbox, lane: Lane, script: &Script, criteria: &[Script]) -> RunRecord {
    let mut batch = batch_with(vec![script.clone()], criteria.to_vec());
    batch.lane = LaneChoice::Only(lane);
    sandbox.evaluate(batch).await.remove(0)
}

/// Everything about a run that its lane must not show in.
fn facts(record: &RunRecord) -> impl PartialEq + std::fmt::Debug + '_ {
    (&record.result, &record.output, &record.claims_read, record.instructions)
}

#[tokio::test]
async fn names_spelt_with_escapes_mean_the_same_in_every_lane() {
    let sandbox = sandbox().await;
    let criteria =
        [criterion("staff", "return claims.user.age === 41;"), criterion("été", "return st\\u0061ff(claims);")];
    for source in [
        "return st\\u0061ff(claims);",
        "return \\u{73}taff(claims);",
        "return \\u00e9té(claims);",
        "return été(claims);",
    ] {
        let script = script("p", ScriptKind::Policy, source);
        for lane in [Lane::Warm, Lane::Fresh] {
            let record = in_lane(&sandbox, lane, &script, &criteria).await;
            assert_eq!((record.result, record.lane), (Ok(json!(true)), lane), "{source}");
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_shared_context_looks_like_a_new_one() {
    let sandbox = sandbox().await;
    for source in [
        "var f = function named(a, b) { return a; }; return { text: '' + f, name: '' + f.name, length: f.length };",
        "try { claims.user.nothing.at; } catch (e) { var k = 'st'; k += 'ack'; return { text: String(e), trace: '' + e[k], keys: Object.keys(e).join() }; }",
        "try { null.x; } catch (e) { var k = 'st'; k += 'ack'; return { at: '' + e['lineNumber'], trace: '' + e[k] }; } return {};",
        "try { broken(claims); } catch (e) { var k = 'st'; k += 'ack'; print(String(e), '' + e[k]); } return true;",
        "print([1, 2].map(function (x) { return staff(claims) ? x : 0; })); return staff(claims);",
        "return { d: new Date('2026-01-05').getTime(), e: new Date('5 Jan 2026 10:00').getTime(), now: Date.now() };",
        "return { m: 'aXbX'.replace(/X/g, '-'), t: /(a)(b)?/.test('a'), k: 'abc'.match(/(b)(c)/) };",
        "var r = /a/g; return { one: r.test('aa'), two: r.test('aa'), three: r.test('aa') };",
        "return { keys: Object.keys(claims.user), s: JSON.stringify(claims.device), i: Object.entries(claims.system) };",
        "var n = 0; for (var k in claims.user) { n += k.length; } return { n: n };",
        "for (var k in [1]) { if (k !== '0') { return { leaked: k }; } } return {};",
        "return { a: typeof httpGet, b: typeof cache, c: [].size(), d: 'ab'.contains('b') };",
        "print(claims.user); return { when: new Date() };",
        "return { s: [3, 1, 2].sort(function (a, b) { return a - b; }), u: undefined, f: function () {} };",
        "return { deep: (function f(n) { return n === 0 ? 0 : 1 + f(n - 1); })(100) };",
        "throw new RangeError('far');",
    ] {
        let probe = script("p", ScriptKind::UserClaim, source);
        let policy = script("p", ScriptKind::Policy, source);
        let criteria =
            [criterion("staff", "return claims.user.age === 41;"), criterion("broken", "\nthrow new Error('inner');")];
        let probe = if source.contains("(claims)") { &policy } else { &probe };
        let fresh = in_lane(&sandbox, Lane::Fresh, probe, &criteria).await;
        // Twice, because what a first run leaves only a second one can find.
        for _ in 0..2 {
            let warm = in_lane(&sandbox, Lane::Warm, probe, &criteria).await;
            let is_proved = warm.result.as_ref().err().is_none_or(|failure| !failure.message.contains("not proved"));
            assert!(is_proved && warm.lane == Lane::Warm, "{source}: {warm:?}");
            assert_eq!(facts(&warm), facts(&fresh), "{source}");
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn nothing_a_hostile_run_does_is_found_by_the_next() {
    let mut config = config();
    (config.workers, config.spares) = (1, 0);
    let sandbox = Sandbox::start(config).await.unwrap();
    let attacks = [
        "Object.prototype.leak = 1; Array.prototype.size = function () { return 99; }; return {};",
        "String.prototype.containsText = function () { return true; }; RegExp.prototype.test = function () { return true; }; return {};",
        "httpGet = function () { return 7; }; cache.getIfPresent = function () { return 7; }; return {};",
        "console.log = null; print = null; Date.now = function () { return 1; }; Math.random = function () { return 5; }; return {};",
        "Object.defineProperty(globalThis, 'claims', { value: 1, writable: false }); claims = 2; return {};",
        "Symbol.for('leak').constructor.prototype.leak = 1; Function.prototype.call = null; return {};",
        "Object.freeze(Array.prototype); Object.freeze(Object.prototype); Object.preventExtensions(globalThis); return {};",
        "var p = Object.getPrototypeOf(claims.user); p.hasOtp = function () { return true; }; p.leak = 1; delete p.hasReason; return {};",
        "Object.setPrototypeOf(Array.prototype, null); Array.prototype[Symbol.iterator] = null; return {};",
        "Error.prototype.toString = function () { return 'mine'; }; TypeError.prototype.name = 'Mine'; throw new Error('x');",
        "JSON.parse = null; JSON.stringify = null; Promise.prototype.then = null; Promise.resolve(1); return {};",
        "try { auditLog('x'); } catch (e) {} return { get a() { Object.prototype.late = 1; return 1; } };",
        "staff = function () { return true; }; globalThis.staff = 1; return {};",
        "function tag(s) { return s; } tag`a`.leak; /a/g.exec('a'); RegExp.leak = 1; return {};",
    ];
    let look = script(
        "look",
        ScriptKind::Policy,
        "return ({}).leak === undefined && ({}).late === undefined && [].leak === undefined && [1].size() === 1 && !'a'.containsText('b') && !/b/.test('a') \
         && typeof httpGet === 'function' && typeof cache === 'object' && Date.now() > 5 && claims.user.age === 41 \
         && !claims.user.hasOtp('x', 5) && claims.user.hasReason('after-hours', 60) && claims.user.leak === undefined \
         && [2, 1].slice().join() === '2,1' && JSON.parse(JSON.stringify(claims.user.groups)).length === 2 && staff(claims);",
    );
    let criteria = [criterion("staff", "return claims.user.username === 'ana';")];
    for lane in [Lane::Warm, Lane::Fresh] {
        assert_eq!(in_lane(&sandbox, lane, &look, &criteria).await.result, Ok(json!(true)), "{lane}");
    }
    for attack in attacks {
        run(&sandbox, ScriptKind::UserClaim, attack).await;
        for lane in [Lane::Warm, Lane::Fresh] {
            assert_eq!(in_lane(&sandbox, lane, &look, &criteria).await.result, Ok(json!(true)), "{attack} {lane}");
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn honest_scripts_may_change_their_own_world() {
    let sandbox = sandbox().await;
    for source in [
        "var o = { toString: function () { return 'mine'; } }; return { v: '' + o };",
        "function T() {} T.prototype.toString = function () { return 'mine'; }; return { v: '' + new T() };",
        "if (!String.prototype.contains2) { String.prototype.contains2 = function (x) { return this.indexOf(x) >= 0; }; } return { v: 'mine'.contains2('in') ? 'mine' : '' };",
        "Array.prototype.last = function () { return this[this.length - 1]; }; return { v: ['x', 'mine'].last() };",
        "result = 'mine'; return { v: result };",
        "Object.prototype.hello = function () { return 'mine'; }; return { v: ({}).hello() };",
        "Array.isArray = function () { return 'mine'; }; return { v: Array.isArray(1) };",
        "var e = new Error('x'); e.message = 'mine'; e.name = ''; return { v: String(e) };",
        "var d = new Date(); d.toString = function () { return 'mine'; }; return { v: String(d) };",
        "this.mine = 'mine'; return { v: mine };",
        "return { v: (function () { return arguments.callee.mine || 'mine'; })() };",
        "claims.user.username = 'mine'; return { v: claims.user.username };",
    ] {
        for _ in 0..2 {
            assert_eq!(
                run(&sandbox, ScriptKind::UserClaim, source).await.result,
                Ok(json!({ "v": "mine" })),
                "{source}"
            );
        }
    }
    sandbox.stop().await;
}
