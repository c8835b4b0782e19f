//! What one run of the client needs to know.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf};

use zeroize::Zeroizing;

use crate::{forward::Forward, profile::Profile};

/// What one run of the client needs to know.
pub struct ClientConfig {
    /// Where to sign in and whom to trust.
    pub profile: Profile,
    /// Holds the device id, which is made once and kept, and the local control socket. Made with mode 0700 when missing.
    pub data_dir: PathBuf,
    /// User name.
    pub username: String,
    /// Password for the first sign-in; forgotten after it. Later ones are asked for by an event.
    pub password: Zeroizing<String>,
    /// Where to offer SOCKS5; nowhere when `None`. Whoever can connect there uses the session, so take loopback.
    pub socks: Option<SocketAddr>,
    /// Port forwards.
    pub forwards: Vec<Forward>,
    /// Addresses to dial in place of what a `host:port` of a controller or gateway resolves to. Certificates are checked
    /// all the same.
    pub dial_overrides: BTreeMap<String, SocketAddr>,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("profile", &self.profile)
            .field("data_dir", &self.data_dir)
            .field("username", &self.username)
            .field("socks", &self.socks)
            .field("forwards", &self.forwards)
            .finish_non_exhaustive()
    }
}
