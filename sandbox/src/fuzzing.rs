//! What fuzz targets call: one function for each place where foreign bytes are read.
//!
//! Each takes any bytes and must return: a panic, an overflow of the stack or an endless loop is a finding.
//! The targets live in the workspace `fuzz/`, the committed corpus beside them; a test feeds it to these functions on every change.
//! Not part of the API: present in tests and with the feature `fuzzing` only.

#![expect(clippy::panic, reason = "a finding is a panic")]

mod frames;
mod oracle;
mod scripts;
mod urls;

pub use frames::frames;
pub use scripts::{admission, on_worker_stack};
pub use urls::broker_url;

#[cfg(test)]
mod tests;
