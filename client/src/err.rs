//! Why a session could not begin.

use std::{net::SocketAddr, path::PathBuf};

use protocol::message::Refusal;

/// Why a session could not begin. Texts say what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// User name or password is wrong, or the user may not sign in.
    #[error("{0}")]
    SignIn(Message),
    /// Too many wrong passwords.
    #[error("{message}")]
    Locked {
        /// As the controller put it.
        message: Message,
        /// When to try again.
        retry_after_secs: Option<u64>,
    },
    /// The controller cannot take the sign-in now.
    #[error("{message}")]
    Busy {
        /// As the controller put it.
        message: Message,
        /// When to try again.
        retry_after_secs: u64,
    },
    /// The controller refused something else.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// Signed in, and allowed nothing.
    #[error("{0}")]
    NothingGranted(Message),
    /// No controller answered.
    #[error(
        "no controller can be reached at {controllers}; check your network and the address in the profile ({detail})"
    )]
    Unreachable {
        /// Where it was tried.
        controllers: String,
        /// The last failure.
        detail: String,
    },
    /// The server is not of the profile's authority.
    #[error(
        "the server at {controller} does not belong to the profile's authority, so nothing was sent to it; \
         ask your administrator whether the profile is current, and do not sign in elsewhere"
    )]
    WrongAuthority {
        /// Where it was tried.
        controller: String,
    },
    /// The local clock disagrees with the controller's.
    #[error("this computer's clock seems to be wrong; set date and time, then try again")]
    Clock,
    /// The controller answered what it should not.
    #[error(
        "the controller at {controller} gave an answer this client does not understand; update the client ({detail})"
    )]
    Protocol {
        /// Who answered.
        controller: String,
        /// What was wrong.
        detail: String,
    },
    /// The session key could not be made.
    #[error("cannot make a key for this session")]
    Key(#[source] rcgen::Error),
    /// The certificate for the session key cannot be used.
    #[error("the session's certificate cannot be used")]
    Certificate(#[source] protocol::tls::TlsError),
    /// The data directory cannot be used.
    #[error("cannot use `{}`; check that the directory belongs to you", path.display())]
    DataDir {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The device id is damaged.
    #[error("`{}` does not hold a device id; remove the file to become a new device", path.display())]
    DeviceId {
        /// The file.
        path: PathBuf,
    },
    /// Another client uses the data directory.
    #[error("a client is already running with `{}`; stop it first or choose another data directory", path.display())]
    AlreadyRunning {
        /// The data directory.
        path: PathBuf,
    },
    /// A local port is taken or forbidden.
    #[error("cannot listen on {address}; choose another local port")]
    Listen {
        /// The local address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Plain language from a controller.
pub type Message = String;

impl ClientError {
    /// Stable code for programs.
    pub fn code(&self) -> &str {
        match self {
            Self::SignIn(_) => "sign-in.failed",
            Self::Locked { .. } => "sign-in.locked",
            Self::Busy { .. } => "sign-in.busy",
            Self::Refused(refusal) => &refusal.code,
            Self::NothingGranted(_) => "client.nothing-granted",
            Self::Unreachable { .. } => "client.unreachable",
            Self::WrongAuthority { .. } => "client.wrong-authority",
            Self::Clock => "client.clock",
            Self::Protocol { .. } => "client.protocol",
            Self::Key(_) => "client.key",
            Self::Certificate(_) => "client.certificate",
            Self::DataDir { .. } => "client.data-dir",
            Self::DeviceId { .. } => "client.device-id",
            Self::AlreadyRunning { .. } => "client.already-running",
            Self::Listen { .. } => "client.listen",
        }
    }

    /// What a refused sign-in means.
    pub(crate) fn of_sign_in(refusal: Refusal) -> Self {
        match (refusal.code.as_str(), refusal.retry_after_secs) {
            ("sign-in.failed", _) => Self::SignIn(refusal.message),
            ("sign-in.locked", retry_after_secs) => Self::Locked { message: refusal.message, retry_after_secs },
            (_, Some(retry_after_secs)) => Self::Busy { message: refusal.message, retry_after_secs },
            (_, None) => Self::Refused(refusal),
        }
    }
}
