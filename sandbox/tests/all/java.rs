//! The read-only members of Java's strings and lists.

use engine::script::{FailureKind, ScriptKind};
use sandbox::Sandbox;
use serde_json::json;

use crate::helpers::{config, kind, run, sandbox};

#[tokio::test]
async fn strings_and_lists_answer_as_java_does() {
    let sandbox = sandbox().await;
    for (expression, expected) in [
        ("'abc'.contains('b')", json!(true)),
        ("'abc'.contains('')", json!(true)),
        ("'abc'.contains('x')", json!(false)),
        ("''.isEmpty()", json!(true)),
        ("' '.isEmpty()", json!(false)),
        ("'a'.equals('a')", json!(true)),
        ("'1'.equals(1)", json!(false)),
        ("'a'.equals(null)", json!(false)),
        ("'Straße'.equalsIgnoreCase('STRAßE')", json!(true)),
        ("'strasse'.equalsIgnoreCase('straße')", json!(false)),
        ("'Ünal'.equalsIgnoreCase('üNAL')", json!(true)),
        ("'a'.equalsIgnoreCase(null)", json!(false)),
        ("'I'.equalsIgnoreCase('\\u0130')", json!(true)),
        ("'a'.compareTo('c')", json!(-2)),
        ("'abc'.compareTo('ab')", json!(1)),
        ("'a'.compareTo('a')", json!(0)),
        ("'A'.compareTo('a')", json!(-32)),
        ("'A'.compareToIgnoreCase('b')", json!(-1)),
        ("'abc'.matches('b')", json!(false)),
        ("'abc'.matches('a|abc')", json!(true)),
        ("'abc'.matches('[a-c]+')", json!(true)),
        ("'ABC'.matches('(?i)abc')", json!(true)),
        ("'a\\nb'.matches('a.b')", json!(false)),
        ("'a\\nb'.matches('(?s)a.b')", json!(true)),
        ("'a\\nb'.matches('(?m)a')", json!(false)),
        ("'ü'.matches('\\\\p{L}')", json!(true)),
        ("['a', 'b'].contains('b')", json!(true)),
        ("['a', 'b'].contains('c')", json!(false)),
        ("[1, NaN].contains(NaN)", json!(true)),
        ("['1'].contains(1)", json!(false)),
        ("['a', 'b'].containsAll(['b', 'a'])", json!(true)),
        ("['a', 'b'].containsAll(['c'])", json!(false)),
        ("[].isEmpty()", json!(true)),
        ("[1, 2].size()", json!(2)),
        ("['a', 'b'].get(1)", json!("b")),
        ("['a'].equals(['a'])", json!(true)),
        ("['a'].equals(['a', 'b'])", json!(false)),
        ("['a'].equals('a')", json!(false)),
        ("claims.user.groups.contains('CN=all,OU=x')", json!(true)),
        ("claims.user.username.equalsIgnoreCase('ANA')", json!(true)),
    ] {
        let record = run(&sandbox, ScriptKind::UserClaim, &format!("return {{ v: {expression} }};")).await;
        assert_eq!(record.result, Ok(json!({ "v": expected })), "{expression}");
    }
    for (expression, expected) in [
        ("'a'.contains(null)", FailureKind::Type),
        ("'a'.compareTo()", FailureKind::Type),
        ("['a'].containsAll('a')", FailureKind::Type),
        ("['a'].get(1)", FailureKind::Thrown),
        ("['a'].get(-1)", FailureKind::Thrown),
        ("'a'.matches('(')", FailureKind::Thrown),
    ] {
        let record = run(&sandbox, ScriptKind::UserClaim, &format!("return {{ v: {expression} }};")).await;
        assert_eq!(kind(&record), expected, "{expression}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn they_hide_behind_what_a_script_has() {
    let sandbox = sandbox().await;
    for source in [
        "for (var k in ['a']) { if (k !== '0') { return false; } } return true;",
        "return Object.keys(['a']).length === 1 && JSON.stringify(['a']) === '[\"a\"]';",
        "var list = ['a']; list.size = 7; return list.size === 7;",
        "String.prototype.contains = function () { return 'mine'; }; return 'a'.contains('a') === 'mine';",
        "return !('contains' in {}) && claims.user.labels.size === undefined;",
        "return Array.prototype.propertyIsEnumerable('size') === false;",
    ] {
        assert_eq!(run(&sandbox, ScriptKind::Policy, source).await.result, Ok(json!(true)), "{source}");
    }
    sandbox.stop().await;
}

#[tokio::test]
async fn switched_off_they_are_not_there() {
    let mut config = config();
    config.java_members = false;
    let sandbox = Sandbox::start(config).await.unwrap();
    let source = "var found = ['contains', 'isEmpty', 'equals', 'equalsIgnoreCase', 'compareTo', 'compareToIgnoreCase', 'matches', 'containsAll', 'size', 'get'].filter(function (name) { return ''[name] !== undefined || [][name] !== undefined; }); return found.length === 0 && 'ab'.containsText('a');";
    assert_eq!(run(&sandbox, ScriptKind::Policy, source).await.result, Ok(json!(true)));
    sandbox.stop().await;
}
