//! URLs of scripts' calls, against a second opinion.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sandbox::fuzzing::broker_url(bytes));
