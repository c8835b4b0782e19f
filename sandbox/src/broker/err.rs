//! Why a broker cannot be set up, and why a call ends without an answer.

use crate::http::{HttpFailure, HttpOutcome};

/// Errors from setting up a [`super::Broker`] or changing its rules.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// A trusted certificate cannot be used to check others.
    #[error("trusted certificate number {} cannot be used", index + 1)]
    Certificate {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        #[source]
        source: rustls::Error,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl BrokerError {
    /// Stable code for API bodies, metrics and tests.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Certificate { .. } => "broker.certificate.unusable",
            Self::Tls(_) => "broker.tls.unusable",
        }
    }
}

/// Why a call ends without an answer. No text names a resolved address or holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It was made, or could have been, and failed.
    Failed(HttpFailure),
    /// It must not be made.
    Refused(String),
    /// It makes no sense.
    Invalid(String),
}

impl From<Stop> for HttpOutcome {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Failed(failure) => Self::Failed(failure),
            Stop::Refused(text) => Self::Refused(text),
            Stop::Invalid(text) => Self::Invalid(text),
        }
    }
}
