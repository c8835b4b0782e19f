//! Scripts on their way in. Each is read on a thread with the stack of a worker.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbox::fuzzing::on_worker_stack(|| sandbox::fuzzing::admission(bytes)));
