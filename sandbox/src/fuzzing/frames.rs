//! Frames between supervisor and worker, in both directions.

use super::scripts::supervise;
use crate::wire::{FromWorker, ToWorker, frame, frame_length};

/// Reads the bytes as the body of a frame in either direction and as a frame's length. What can be read is written and read again, to the same.
///
/// # Panics
/// When writing and reading disagree, which is a finding.
pub fn frames(bytes: &[u8]) {
    if let Some(length) = bytes.first_chunk() {
        // Either answer is right; it has to come.
        let _ = frame_length(*length);
    }
    if let Ok(message) = ToWorker::read(bytes) {
        let again = body(|to| message.write(to));
        assert_eq!(ToWorker::read(&again), Ok(message));
    }
    if let Ok(message) = FromWorker::read(bytes) {
        let again = body(|to| message.write(to));
        // Compared as bytes: a worker may send a number that is not equal to itself.
        let returned = FromWorker::read(&again).map(|message| body(|to| message.write(to)));
        assert_eq!(returned.as_ref(), Ok(&again));
        if let FromWorker::Admission(Ok(tree)) = &message {
            supervise(tree);
        }
    }
}

fn body(write: impl FnOnce(&mut crate::wire::Writer<'_>)) -> Vec<u8> {
    let mut buffer = Vec::new();
    match frame(&mut buffer, write) {
        Ok(()) => buffer.split_off(4),
        Err(error) => panic!("a frame that was read cannot be written: {error}"),
    }
}
