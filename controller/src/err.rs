//! Why a controller does not start.

use std::{net::SocketAddr, path::PathBuf};

use protocol::{quic::QuicError, tls::TlsError};

use crate::{authority::AuthorityError, builtin::SeedError, keys::KeyError, password::PasswordError};

/// Errors from starting a controller.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be made or entered.
    #[error("cannot use data directory {path}")]
    DataDir {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The store does not open.
    #[error("cannot open the store")]
    Open(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The built-in objects could not be written.
    #[error("cannot prepare a fresh store")]
    Seed(#[source] Box<SeedError<PasswordError>>),
    /// The certificate authority is unusable.
    #[error("cannot use the certificate authority")]
    Authority(#[from] AuthorityError),
    /// The token keys are unusable.
    #[error("cannot use the token keys")]
    Keys(#[from] KeyError),
    /// The sandbox does not start.
    #[error("cannot start script workers")]
    Sandbox(#[source] sandbox::StartError),
    /// The broker for HTTP calls of scripts does not start.
    #[error("cannot prepare the HTTP calls of scripts")]
    Broker(#[from] sandbox::BrokerError),
    /// The TLS settings are unusable.
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// The client port cannot be opened.
    #[error("cannot open the client port")]
    ClientPort(#[from] QuicError),
    /// A port's own address is unknown.
    #[error("cannot open the port on {address}")]
    Port {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl StartError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => "start.data-dir",
            Self::Open(_) => "start.store.open",
            Self::Seed(_) => "start.seed",
            Self::Authority(_) => "start.authority",
            Self::Keys(_) => "start.keys",
            Self::Sandbox(_) => "start.sandbox",
            Self::Broker(_) => "start.broker",
            Self::Tls(_) => "start.tls",
            Self::ClientPort(_) => "start.client-port",
            Self::Port { .. } => "start.port",
        }
    }
}
