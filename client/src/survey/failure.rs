//! Why a claim has no value, in plain language.

use std::time::Duration;

/// Why a claim has no value. A claim without one is not reported, so nothing that asks for it is granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("device scripts are switched off on this device")]
    SwitchedOff,
    #[error("device scripts do not run while the client runs as root; run it as yourself")]
    Root,
    #[error("this client cannot run device scripts")]
    NoRunner,
    #[error("there is no device script `{0}`; tell your administrator")]
    NoScript(String),
    #[error("the list of device claims is broken here; tell your administrator")]
    Mapping,
    #[error("`{0}` is the name of a built-in device claim; tell your administrator")]
    BuiltIn(String),
    #[error("another entry of the list already has this name; tell your administrator")]
    Twice,
    #[error("the script could not be fetched: {0}")]
    NotFetched(String),
    #[error("the script's file is not what it should be; it is fetched again with the next renewal")]
    Changed,
    #[error("the data directory cannot be used for device scripts: {0}")]
    Cache(String),
    #[error("the script is none that runs on Linux; it must begin with `#!`, be a Linux program or end in .sh")]
    Foreign,
    #[error("the script could not be started: {0}")]
    NotStarted(String),
    #[error("the script was ended because it took longer than {} ms", .0.as_millis())]
    TooSlow(Duration),
    #[error("the script was ended because it printed more than {0} bytes")]
    TooLong(usize),
    #[error("what the script printed is no text")]
    NotText,
    #[error("the script failed with exit code {0}")]
    Exit(i32),
    #[error("the script was ended by signal {0}")]
    Signal(i32),
    #[error("the process that runs scripts failed: {0}")]
    Runner(String),
    #[error("all values together are too large to be reported")]
    AllTooLarge,
    #[error("the file cannot be read: {0}")]
    File(std::io::ErrorKind),
    #[error("this system does not tell")]
    Unknown,
}
