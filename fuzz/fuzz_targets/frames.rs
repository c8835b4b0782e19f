//! Frames between supervisor and worker, in both directions.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbox::fuzzing::frames(bytes));
