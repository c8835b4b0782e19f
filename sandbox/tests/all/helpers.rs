//! What the tests share: a sandbox, claims, and one-line ways to run a script.

use std::sync::Arc;
use std::time::Duration;

use engine::script::{FailureKind, ScriptKind};
use sandbox::{Batch, RunRecord, Sandbox, SandboxConfig, Script, WorkerCommand};
use serde_json::{Value, json};
use time::macros::datetime;

pub fn config() -> SandboxConfig {
    let worker = WorkerCommand { program: env!("CARGO_BIN_EXE_script-worker").into(), args: Vec::new() };
    let mut config = SandboxConfig::new(worker);
    config.workers = 2;
    // Which lane a run takes must not depend on what was read in the background meanwhile.
    config.learn_after = 0;
    config
}

pub async fn sandbox() -> Sandbox {
    Sandbox::start(config()).await.unwrap()
}

pub fn claims() -> Value {
    json!({
        "user": {
            "username": "ana",
            "emails": ["ana@example.com"],
            "groups": ["CN=developers,OU=x", "CN=all,OU=x"],
            "age": 41,
            "score": 1.5,
            "labels": { "team": "red" },
            "agScripted": { "teams": ["red", "blue"] },
        },
        "device": { "os": { "family": "linux" }, "clientIPs": ["192.168.7.9", "10.1.2.3"], "isFirewallEnabled": true },
        "system": { "clientSrcIP": "10.20.30.40" },
        "responses": [{ "suffix": "after-hours", "kind": "reason", "at": 1_767_603_000 }],
    })
}

pub fn script(name: &str, kind: ScriptKind, source: &str) -> Script {
    Script { name: name.into(), kind, source: source.into() }
}

pub fn policy(source: &str) -> Script {
    script("p", ScriptKind::Policy, source)
}

pub fn criterion(name: &str, source: &str) -> Script {
    script(name, ScriptKind::Criteria, source)
}

pub fn batch(scripts: Vec<Script>) -> Batch {
    batch_with(scripts, Vec::new())
}

pub fn batch_with(scripts: Vec<Script>, criteria: Vec<Script>) -> Batch {
    // 2026-01-05 is a Monday.
    Batch::new(Arc::new(claims()), datetime!(2026-01-05 09:00:00 UTC), scripts, criteria.into())
}

pub async fn run(sandbox: &Sandbox, kind: ScriptKind, source: &str) -> RunRecord {
    sandbox.evaluate(batch(vec![script("p", kind, source)])).await.remove(0)
}

#[track_caller]
pub fn kind(record: &RunRecord) -> FailureKind {
    record.result.as_ref().expect_err(&record.script).kind
}

#[track_caller]
pub fn place(record: &RunRecord) -> (Option<u32>, Option<u32>) {
    let failure = record.result.as_ref().unwrap_err();
    (failure.line, failure.column)
}

/// Waits until `done` says so, at most 10 s.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited too long until {what}");
}

/// The ready-made scripts with their kinds.
pub fn library() -> Vec<(String, ScriptKind, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts");
    let mut found = Vec::new();
    for kind in [
        ScriptKind::Policy,
        ScriptKind::Criteria,
        ScriptKind::Condition,
        ScriptKind::Host,
        ScriptKind::PortOrType,
        ScriptKind::AppShortcut,
        ScriptKind::UserClaim,
    ] {
        for entry in std::fs::read_dir(root.join(kind.as_str())).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "js") {
                let name = path.file_stem().unwrap().to_string_lossy().into_owned();
                found.push((name, kind, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty());
    found
}
