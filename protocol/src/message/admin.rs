//! What a gateway wants administrators to look at.

use serde::{Deserialize, Serialize};

/// Something administrators should look at (D 29).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdminMessage {
    /// How bad it is.
    pub level: MessageLevel,
    /// What it is about.
    pub category: MessageCategory,
    /// Plain language, with what to do. Holds no secret.
    pub message: String,
}

/// How bad it is, as the admin API writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageLevel {
    /// Good to know.
    Information,
    /// Works, but not as it should.
    Warning,
    /// Something does not work.
    Error,
    /// Nothing works.
    Critical,
}

/// What a message is about, as the admin API writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessageCategory {
    /// What administrators configured.
    Configuration,
    /// Who reaches whom.
    Connectivity,
    /// Which version runs.
    Version,
}

impl MessageLevel {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Information => "Information",
            Self::Warning => "Warning",
            Self::Error => "Error",
            Self::Critical => "Critical",
        }
    }
}

impl MessageCategory {
    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Connectivity => "Connectivity",
            Self::Version => "Version",
        }
    }
}
