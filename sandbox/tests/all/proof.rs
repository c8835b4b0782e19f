//! The proof of the warm lane: what it takes, and every trick against it that we could think of.

use engine::script::ScriptKind;
use engine::script::lanes::is_builtin_member;
use sandbox::{Lane, LaneChoice};
use serde_json::json;

use crate::helpers::{batch, batch_with, criterion, library, policy, run, sandbox, script};

#[tokio::test]
async fn what_writes_only_its_own_values_is_warm() {
    let sandbox = sandbox().await;
    for source in [
        "var o = {}; o.x = 1; o['y'] = 2; delete o.x; return Object.keys(o).length === 1;",
        "var r = {}; claims.user.groups.forEach(function (g) { r[g] = true; }); return Object.keys(r).length === 2;",
        "var a = []; for (var i = 0; i < 3; i++) { a[i] = claims.user.groups[i]; } return a.length === 3;",
        "var m = new Map(); m.set('a', 1); m.delete('b'); return m.get('a') === 1;",
        "var s = new Set(claims.user.groups); s.add('x'); return s.has('x');",
        "var d = new Date(); d.setHours(1); return d.getHours() === 1;",
        "var re = /C(N)/g; return re.exec(claims.user.groups[0])[1] === 'N' && re.lastIndex === 2;",
        "function list() { var out = []; out.push('a'); return out; } var l = list(); l.push('b'); return l.length === 2;",
        "var o = Object.assign({}, claims.user.labels); o.team = 'blue'; return claims.user.labels.team === 'red' && o.team === 'blue';",
        "var seen = cache.getIfPresent('proof') || []; seen.push('x'); return seen.length === 1;",
        "var q = { filter: [1], match: 'x', size: 3, from: 0, keys: claims.user.username }; return JSON.stringify(q).length > 3;",
        "var c = { n: 0 }; c.n += 1; c.n++; c.m ||= 5; return c.n === 2 && c.m === 5;",
        "return typeof httpGet === 'function' && typeof Java === 'undefined';",
        "var a = claims.user.groups.slice(); a.sort(); a[0] = 'x'; return claims.user.groups[0] !== 'x';",
        "var x; x = []; x.push(1); return x.length === 1;",
        "let all = []; const page = ['a']; all = all.concat(page); all.push('b'); return all.length === 2;",
        "var a = []; var b = a; b.push(1); return a.length === 1;",
        "const f = Object.freeze({ a: 1 }); return f.a === 1;",
        "return Array.from(new Set(['a', 'a']), t => t + '!').join() === 'a!';",
        "const lookup = { red: 1 }; return lookup[claims.user.labels.team] === 1;",
        "const names = {}; for (const g of claims.user.groups) { names[g.toLowerCase()] = g.length; } return names['cn=all,ou=x'] === 11 || true;",
        "var rest = claims.user.groups.slice(1); var n = rest.length; var last = rest[n - 1]; return last === 'CN=all,OU=x';",
        "return claims.user.groups.map(String).concat('x').pop() === 'x';",
        "const own = {}; own.list = []; return Array.isArray(own.list);",
        "var t = { linux: 1 }; var at = t[claims.device.os.family]; return at === 1 && claims.user.labels['team'] === 'red';",
        "var t = { linux: ['red'] }; return t[claims.device.os.family.toLowerCase()].includes(claims.user.labels.team);",
        "var n = {}; for (var g of claims.user.groups) { n[g] = (n[g] || 0) + 1; } return Object.keys(n).length === 2;",
        "function has(claims) { return claims.user.age > 1; } return has({ user: { age: 2 } });",
    ] {
        let record = run(&sandbox, ScriptKind::Policy, source).await;
        let admission = sandbox.admit(policy(source)).await.unwrap();
        assert_eq!(admission.analysis.doubt, None, "{source}");
        assert_eq!(record.result, Ok(json!(true)), "{source}");
    }
    sandbox.stop().await;
}

/// Finds `Object.assign` by computed names only.
const ASSIGN: &str = "var C = ({})['constr' + 'uctor']; var f = C['ass' + 'ign'];";

/// The same with names in variables, which honest tables are asked with too.
const ASSIGN_BY_VARIABLE: &str = "var j = 'constr', k = 'ass'; j += 'uctor'; k += 'ign'; var C = ({})[j], f = C[k];";

#[tokio::test]
async fn no_trick_gets_a_writing_script_into_the_warm_lane() {
    let sandbox = sandbox().await;
    let with_assign = [
        "var o = { includes: f }; o.includes(claims.user, { x: 1 });",
        "var o = {}; o.includes = f; o.includes(claims.user, { x: 1 });",
        "var o = {}; o['incl' + 'udes'] = f; o.includes(claims.user, { x: 1 });",
        "var k = 'includes'; var o = { [k]: f }; o.includes(claims.user, { x: 1 });",
        "var o = {}; o[k = 'includes'] = f; var k; o.includes(claims.user, { x: 1 });",
        "var o = Object.fromEntries([['includes', f]]); o.includes(claims.user, { x: 1 });",
        "var o = JSON.parse('{\"includes\":1}', function (k, v) { return k ? f : v; }); o.includes(claims.user, { x: 1 });",
        "var g; g = f; var o = { includes: g }; o.includes(claims.user, { x: 1 });",
        "var o = { includes: true && f }; o.includes(claims.user, { x: 1 });",
        "var o = { includes: (1, f) }; o.includes(claims.user, { x: 1 });",
        "function give() { return f; } var o = { includes: give() }; o.includes(claims.user, { x: 1 });",
        "var o = {}; o.includes ||= f; o.includes(claims.user, { x: 1 });",
        "var o = { toString: f }; return '' + o === '';",
        "var o = { includes: [f].at(0) }; o.includes(claims.user, { x: 1 });",
        "var m = new Map([['a', f]]); var o = { includes: m.get('a') }; o.includes(claims.user, { x: 1 });",
        "var i = 'includes'; var o = {}; o[i] = f; o.includes(claims.user, { x: 1 });",
        "var i = 0; i = 'includes'; var o = {}; o[i] = f; o.includes(claims.user, { x: 1 });",
        "var i = 0; i += 'x'; var o = {}; o[i] = f; o.includes(claims.user, { x: 1 });",
        "return staff({ includes: f });",
        "return staff([f]);",
    ];
    let others = [
        "var { ['constr' + 'uctor']: C } = {}; var o = { includes: C }; o.includes(1); return true;",
        "var { push } = []; var o = { includes: push }; o.includes(1); return true;",
        "var { push: p } = []; var o = {}; o['in' + 'cludes'] = p; o.includes(1); return true;",
        "var p = [].forEach; var o = { includes: p }; o.includes(1); return true;",
        "var o = {}; o.map = function () { return claims.user.groups; }; o.map().push('x'); return true;",
        "var o = {}; o['m' + 'ap'] = function () { return claims.user.groups; }; o.map().push('x'); return true;",
        "var f = function () { return claims.user.groups; }; var o = { map: f }; o.map().push('x'); return true;",
        "var o = { includes: staff(claims) }; return o.includes(claims.user);",
        "function g() { return claims.user.groups; } g().push('x'); return true;",
        "var f = function () { return []; }; f = function () { return claims.user.groups; }; f().push('x'); return true;",
        "var f = function () { return []; }; var g = function () { return claims.user.groups; }; f = g; f().push('x'); return true;",
        "var f = true ? function () { return claims.user.groups; } : function () { return []; }; f().push('x'); return true;",
        "function g(a) { return a; } g(claims.user.groups).push('x'); return true;",
        "function g() { if (claims.user) { return claims.user.groups; } return []; } g().push('x'); return true;",
        "var a = []; var b = a; b = claims.user.groups; var c = b; c.push('x'); return true;",
        "var a = [claims.user]; a[0].x = 1; return true;",
        "var o = claims.user || {}; o.x = 1; return true;",
        "var o = {}; o &&= claims.user; o.x = 1; return true;",
        "Object.assign(claims.user || {}, { x: 1 }); return true;",
        "Object.freeze(claims.user); return true;",
        "Object.setPrototypeOf({}, null); return true;",
        "Object.create(claims.user).x = 1; return true;",
        "new Object(claims.user).x = 1; return true;",
        "[].concat(claims.user.groups)[0].x = 1; return true;",
        "var o = {}; o.__proto__ = claims.user; return true;",
        "var o = {}; o['__proto__'] = claims.user; return true;",
        "var o = []; o.constructor = 1; return true;",
        "for (var k in claims.user) { claims.user[k] = 1; } return true;",
        "var m = new Map([['a', claims.user.groups]]); m.get('a').push('x'); return true;",
        "claims.user.groups.reduce(function (all, g) { all.push(g); return all; }, claims.user.groups); return true;",
        "claims.user.groups.length = 0; return true;",
        "delete claims.user.groups[0]; return true;",
        "delete claims.user; return true;",
        "claims.user.groups.reverse().push(1); return true;",
        "claims.user.groups.copyWithin(0, 1); return true;",
        "claims.user.groups.fill(1); return true;",
        "var f = function () {}; f.x = 1; return true;",
        "function f() {} f['x'] = 1; return true;",
        "staff.x = 1; return true;",
        "httpGet.x = 1; return true;",
        "cache.x = 1; return true;",
        "Array.prototype.x = 1; return true;",
        "Array.from([1], staff); return true;",
        "var d = Date; d.now = 1; return true;",
        "try { null.x; } catch (e) { e.x = 1; e.constructor.y = 1; } return true;",
        "var o = { get a() { return claims.user.groups; } }; o.a.push(1); return true;",
        "var x = cache.getIfPresent('k') || claims.user.groups; x.push(1); return true;",
        "[claims.user.x] = [1]; return true;",
        "({ x: claims.user.x } = { x: 1 }); return true;",
        "function Number() { return 'includes'; } var o = {}; o[Number()] = claims.user['labels']; return true;",
        "function String() { return claims.user.groups; } String().push('x'); return true;",
        "var arguments; return true;",
        "function k(x) { var arguments; arguments[0] = 1; return x; } return k(claims.user) === 1;",
        "function k(arguments) { return arguments; } return k(1) === 1;",
        "try { null.x; } catch (arguments) { return true; } return false;",
        "function arguments() {} return true;",
        "for (arguments of [1]) {} return true;",
        "claims = { user: {} }; return staff(claims);",
        "claims += 1; return staff(claims);",
        "claims++; return staff(claims);",
        "var claims = { user: {} }; return staff(claims);",
        "var { claims } = { claims: {} }; return staff(claims);",
        "for (claims of [{}]) {} return staff(claims);",
        "for (var claims in { a: 1 }) {} return staff(claims);",
        "function claims() {} return staff(claims);",
        "(() => { claims = {}; })(); return staff(claims);",
        "var k = 'x', o = {}; o[k] = claims.user['labels']; return true;",
        "var k = 'x', o = { [k]: claims.user['labels'] }; return true;",
        "return ({})['const' + 'ructor'] === undefined;",
        "return ({})[`const${'ructor'}`] === undefined;",
        "return ({})[['constructor'].join('')] === undefined;",
        "return ({})[(1, 'constructor')] === undefined;",
        "var { ['a' + 'b']: x } = {}; return x === undefined;",
        "var k = 'x', t = {}; var a = [t[k]]; return a.length === 1;",
        "var k = 'x', t = {}; var v = t[k], w = v; return [1].includes(w);",
        "var k = 'x', t = {}; var o = {}; o.a = t[k] || 1; return true;",
        "var k = 'x', t = {}; function get() { return t[k]; } return [1].includes(get());",
        "var k = 'x', t = {}; function get() { return t[k]; } return [1].map(get).length === 1;",
        "var k = 'x', t = {}; return [1].map(function () { return t[k]; }).length === 1;",
        "var k = 'x', t = {}; return [1].includes(t[k].valueOf());",
        "var k = 'x', t = {}; try { throw t[k]; } catch (e) { return true; }",
        "var k = 'x', t = {}; function f(a = t[k]) { return a; } return f() === undefined;",
        "var k = 'x', t = {}; function f(a) { return a; } return f(t[k]) === undefined;",
    ];
    let sources = [ASSIGN, ASSIGN_BY_VARIABLE]
        .into_iter()
        .flat_map(|head| with_assign.iter().map(move |tail| format!("{head} {tail} return true;")));
    for source in sources.chain(others.iter().map(|&source| source.to_owned())) {
        let admission = sandbox.admit(policy(&source)).await.unwrap();
        assert_eq!(admission.analysis.lane(), Lane::Fresh, "{source}");
        let mut forced = batch(vec![policy(&source)]);
        forced.lane = LaneChoice::Only(Lane::Warm);
        let record = sandbox.evaluate(forced).await.remove(0);
        assert!(record.result.is_err(), "{source}: {:?}", record.result);
    }
    sandbox.stop().await;
}

/// Each of these once got `Object.defineProperty` under a harmless name past the proof.
#[tokio::test]
async fn what_once_broke_the_proof_changes_nothing_for_others() {
    let shadowed = r#"
function Number() { return 'includes'; }
var C = ({})['const' + 'ructor'], P = []['__pro' + 'to__'], o = {};
o[Number()] = C['define' + 'Property'];
function yes() { return true; }
o.includes(P, 'some', { value: yes, configurable: true, writable: true });
return claims.user.groups.some(function (g) { return g === 'admins'; });"#;
    let other_claims = r#"
function yes() { return true; }
var C = ({})['const' + 'ructor'], groups = claims.user.groups;
claims = { go: C['define' + 'Property'], p: []['__pro' + 'to__'], yes: yes };
helper(claims);
return groups.some(function (g) { return g === 'admins'; });"#;
    let helper = r#"
var o = {};
o.includes = claims.go;
o.includes(claims.p, 'some', { value: claims.yes, configurable: true, writable: true });
return false;"#;
    let arguments = r#"
var o = {}, C = ({})['const' + 'ructor'], P = []['__pro' + 'to__'];
function yes() { return true; }
function k(x) { var arguments; arguments['__pro' + 'to__'] = []; o[arguments] = C['define' + 'Property']; }
k('includes');
o.includes(P, 'some', { value: yes, configurable: true, writable: true });
return true;"#;
    let probe = "return !claims.user.groups.some(function (g) { return g === 'admins'; });";
    // The same with names in variables, as tables are asked with those too.
    let by_variable = |source: &str| {
        let head = "var ctor = 'const', proto = '__pro', define = 'define'; ctor += 'ructor'; proto += 'to__'; define += 'Property';";
        let body = source
            .replace("'const' + 'ructor'", "ctor")
            .replace("'__pro' + 'to__'", "proto")
            .replace("'define' + 'Property'", "define");
        format!("{head}{body}")
    };
    let sandbox = sandbox().await;
    for source in [shadowed, other_claims, arguments] {
        for source in [source.to_owned(), by_variable(source)] {
            let scripts = vec![policy(probe), policy(&source), policy(probe)];
            let criteria = vec![criterion("helper", helper)];
            let records = sandbox.evaluate(batch_with(scripts.clone(), criteria.clone())).await;
            assert_eq!(records[1].lane, Lane::Fresh, "{source}");
            assert!([0, 2].iter().all(|at| records[*at].result == Ok(json!(true))), "{source}: {records:?}");
            let mut forced = batch_with(scripts, criteria);
            forced.lane = LaneChoice::Only(Lane::Warm);
            assert!(sandbox.evaluate(forced).await[1].result.is_err(), "{source}");
        }
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn a_built_in_under_another_name_changes_nothing_for_others() {
    let sandbox = sandbox().await;
    let attack = format!(
        "{ASSIGN} var o = {{ includes: f }}; o.includes(claims.user, {{ x: 1 }}); o.includes(({{}})['__pro' + 'to__'], {{ y: 1 }}); return true;"
    );
    let probe = "return claims.user.x === undefined && ({}).y === undefined;";
    let records = sandbox.evaluate(batch(vec![policy(&attack), policy(probe), policy(&attack), policy(probe)])).await;
    assert!(records.iter().all(|record| record.result == Ok(json!(true))), "{records:?}");
    sandbox.stop().await;
}

/// Walks everything a script can reach and lists the names under which it finds functions and accessors that take a value.
const MEMBERS: &str = r#"
var names = Object.create(null), setters = Object.create(null), seen = new Set(), left = [[], '', 0, true, new Date(), /x/, new Map(), new Set(), new Error(''),
  function () {}, () => 1, [].values(), new Map().entries(), new Set().values(), ''[Symbol.iterator](), ''.matchAll(/x/g), Promise.resolve(1),
  Symbol('x'), (function* () {})(), [].values().map(x => x), claims, claims.user, claims.device, claims.system, new WeakMap(), new WeakSet(),
  new ArrayBuffer(1), new Uint8Array(1), new DataView(new ArrayBuffer(1)), Object.create(null), async function () {}, Iterator.from([])];
while (left.length) {
  var value = left.pop();
  if (value === null || value === undefined) { continue; }
  var object = Object(value);
  if (seen.has(object)) { continue; }
  seen.add(object);
  left.push(Object.getPrototypeOf(object));
  Object.getOwnPropertyNames(object).forEach(function (name) {
    var found = Object.getOwnPropertyDescriptor(object, name);
    if (typeof found.value === 'function') { names[name] = true; left.push(found.value); }
    else if (found.value !== null && typeof found.value === 'object' && name === 'prototype') { left.push(found.value); }
    if (found.set) { setters[name] = true; }
  });
}
return { names: Object.keys(names), setters: Object.keys(setters).sort() };
"#;

/// Otherwise a built-in method could be put under a name that the proof takes for harmless.
#[tokio::test]
async fn every_name_of_a_built_in_method_is_known() {
    let sandbox = sandbox().await;
    let record = run(&sandbox, ScriptKind::UserClaim, MEMBERS).await;
    let found = record.result.unwrap();
    let names: Vec<&str> = found["names"].as_array().unwrap().iter().filter_map(|name| name.as_str()).collect();
    assert!(names.len() > 150, "{names:?}");
    let unknown: Vec<_> = names.into_iter().filter(|name| !is_builtin_member(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    // Each of these changes the object it is used on.
    assert_eq!(found["setters"], json!(["__proto__", "arguments", "caller", "constructor", "stack"]));
    sandbox.stop().await;
}

#[tokio::test]
async fn most_of_the_library_runs_warm() {
    let sandbox = sandbox().await;
    let library = library();
    let mut warm = 0;
    for (name, kind, source) in &library {
        let admission = sandbox.admit(script(name, *kind, source)).await.unwrap();
        match admission.analysis.doubt {
            None => warm += 1,
            Some(doubt) => println!("{name}: {} at {:?}", doubt.what, doubt.span.map(|span| span.start)),
        }
    }
    println!("{warm} of {} scripts of the library are proved for the warm lane", library.len());
    assert!(warm * 10 > library.len() * 8, "{warm} of {}", library.len());
    sandbox.stop().await;
}

/// Whoever walks a tree recurses, so no script may make one that is deeper than promised.
#[tokio::test]
async fn what_nests_without_brackets_stays_within_the_bounds_of_trees() {
    let sandbox = sandbox().await;
    for link in ["?.a", ".a", "?.()", "['a']", "()", " + 1", " && a", " ? a : a", " = a"] {
        let source = format!("var a; return a{};", link.repeat(2_000));
        let admission = sandbox.admit(policy(&source)).await.unwrap();
        assert_eq!(admission.analysis.lane(), Lane::Fresh, "{link}");
    }
    sandbox.stop().await;
}
