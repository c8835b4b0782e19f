//! Scripts on their way in: what an admission worker does with a text, and the supervisor with the tree that comes of it.

use std::thread;

use engine::script::lanes::analyse;

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
