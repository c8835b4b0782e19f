//! What a client and the process that runs a device script for it say to each other: one line each way.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) program: PathBuf,
    pub(super) args: Vec<String>,
    /// How long it may take, in milliseconds.
    pub(super) limit_ms: u64,
    /// How many bytes it may print.
    pub(super) most_bytes: usize,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) ending: Ending,
    /// Processes of the script are still there, although everything was tried.
    pub(super) left_behind: bool,
}

/// How a script ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Ending {
    /// By itself and without an error; what it printed.
    Printed(String),
    /// By itself, with this exit code.
    Exit(i32),
    /// By a signal that somebody else sent.
    Signal(i32),
    /// It was ended for taking too long.
    TooSlow,
    /// It was ended for printing too much.
    TooLong,
    /// What it printed is no text.
    NotText,
    /// It could not be started.
    NotStarted(String),
}
