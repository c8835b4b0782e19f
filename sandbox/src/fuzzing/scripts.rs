//! Scripts on their way in: what an admission worker does with a text, and the supervisor with the tree that comes of it.

use std::thread;

use engine::script::ScriptKind;
use engine::script::admission::check;
use engine::script::lanes::analyse;
use engine::script::lint::{LintContext, lint};
use engine::script::native::compile_beginning;
use engine::script::tree::Tree;
use serde_json::json;

use crate::wire::{FromWorker, frame};
use crate::worker;

/// Reads the bytes as a script: parsing, conversion, the way of the tree over the wire, analysis.
/// Deep nesting needs the stack of a worker: see [`on_worker_stack`].
///
/// # Panics
/// When the tree changes on its way, or its analysis with it, which is a finding.
pub fn admission(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    let Ok(tree) = worker::read_tree("fuzzed", &source) else { return };
    let mut framed = Vec::new();
    let message = FromWorker::Admission(Ok(tree));
    // A tree may be too large for a frame; the worker then says so instead.
    if frame(&mut framed, |to| message.write(to)).is_err() {
        return;
    }
    let body = framed.get(4..).unwrap_or_default();
    let Ok(FromWorker::Admission(Ok(arrived))) = FromWorker::read(body) else {
        panic!("a tree that was written cannot be read");
    };
    let FromWorker::Admission(Ok(sent)) = &message else { return };
    assert_eq!(*sent, arrived);
    assert_eq!(analyse(sent, &|_| true), analyse(&arrived, &|_| true));
    supervise(&arrived);
    let schedules = ["15m".to_owned()];
    for kind in [ScriptKind::Policy, ScriptKind::Condition, ScriptKind::UserClaim] {
        lint(&arrived, &LintContext { kind, schedules: Some(&schedules), secrets: None, source: &source });
    }
}

/// What the supervisor does with a tree, which a worker made of a hostile script, or which a hostile script made of a worker.
pub(super) fn supervise(tree: &Tree) {
    // Every answer is right; it has to come.
    let _ = check(tree);
    analyse(tree, &|_| true);
    let claims = json!({
        "user": { "username": "ana", "groups": ["CN=staff", "all"], "age": 41, "labels": { "a": null } },
        "device": { "os": { "family": "linux" }, "clientIPs": ["10.0.0.1"] },
        "system": { "clientSrcIP": "10.20.30.40" },
        "responses": [{ "suffix": "x", "kind": "password", "at": 0 }],
    });
    for kind in [ScriptKind::Policy, ScriptKind::Host, ScriptKind::UserClaim] {
        if let Ok(program) = compile_beginning(tree, kind, &|_| None) {
            let _ = program.run(&claims, 1_767_603_600_000);
        }
    }
}

/// Does `work` with as much stack as the thread of a worker has.
///
/// # Panics
/// When `work` does, or when there is no thread to be had.
pub fn on_worker_stack(work: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let thread = thread::Builder::new().stack_size(worker::STACK).spawn_scoped(scope, work);
        let ended = thread.map(thread::ScopedJoinHandle::join);
        match ended {
            Ok(Ok(())) => {}
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => panic!("no thread: {error}"),
        }
    });
}
