//! What a script run is and how it ends: the vocabulary shared by the decision code and the sandbox.
//!
//! Nothing here runs anything. Failure kinds and what each means for its script kind follow D 7.4:
//! an error is a typed outcome and never grants.

pub mod admission;
pub mod lanes;
pub mod lint;
pub mod native;
pub mod tree;
mod visit;

use std::fmt;

/// The contract a script is written against (D 8): where it runs and what it must return.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ScriptKind {
    /// Policy assignment expression; must return a boolean.
    Policy,
    /// Criteria script, callable by name from policies; must return a boolean.
    Criteria,
    /// Condition expression on the gateway; must return a boolean.
    Condition,
    /// Entitlement script of type `host`; must return a list of host strings.
    Host,
    /// Entitlement script of type `portOrType`; must return a list of ports or ICMP types.
    PortOrType,
    /// Entitlement script of type `appShortcut`; must return a list of shortcut objects.
    AppShortcut,
    /// User-claim script; must return an object.
    UserClaim,
}

impl ScriptKind {
    /// The name used in records, on the command line and in messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Criteria => "criteria",
            Self::Condition => "condition",
            Self::Host => "host",
            Self::PortOrType => "port",
            Self::AppShortcut => "app-shortcut",
            Self::UserClaim => "user-claim",
        }
    }
}

impl fmt::Display for ScriptKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a run gave no result. The set is fixed: records, metrics and tests name these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureKind {
    /// The source does not parse.
    Syntax,
    /// An uncaught `TypeError`, as a missing claim's member access raises it.
    Type,
    /// Any other uncaught exception.
    Thrown,
    /// The wall deadline passed; the worker was killed.
    Timeout,
    /// The instruction budget was used up.
    Instructions,
    /// The memory cap was reached.
    Memory,
    /// The worker ended without an answer.
    Crash,
    /// The HTTP broker refused a call.
    HttpRefused,
    /// The script names a secret that does not exist.
    SecretMissing,
    /// The result has the wrong type for the script's kind.
    WrongResult,
    /// Too much work was queued; the script was never started.
    Overloaded,
    /// The script kept failing in a way that costs others and is not run until it is edited.
    Quarantined,
}

impl FailureKind {
    /// Stable code for records, metrics and tests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Type => "type",
            Self::Thrown => "thrown",
            Self::Timeout => "timeout",
            Self::Instructions => "instructions",
            Self::Memory => "memory",
            Self::Crash => "crash",
            Self::HttpRefused => "http-refused",
            Self::SecretMissing => "secret-missing",
            Self::WrongResult => "wrong-result",
            Self::Overloaded => "overloaded",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether a condition that fails this way starts its remedies as a false one does.
    pub fn starts_remedies(self) -> bool {
        match self {
            Self::Thrown | Self::Type | Self::WrongResult => true,
            Self::Syntax
            | Self::Timeout
            | Self::Instructions
            | Self::Memory
            | Self::Crash
            | Self::HttpRefused
            | Self::SecretMissing
            | Self::Overloaded
            | Self::Quarantined => false,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A run that ended without a result, with the place in the source where known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// Name of the script whose source `line` and `column` refer to.
    pub script: String,
    /// Text for a person; holds no secret and no source.
    pub message: String,
    /// Line in the script as its author wrote it, counted from 1.
    pub line: Option<u32>,
    /// Column in that line, counted from 1.
    pub column: Option<u32>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "script `{}` {}: {}", self.script, self.kind, self.message)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, " (line {line}, column {column})")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
