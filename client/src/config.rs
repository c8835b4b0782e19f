//! What one run of the client needs to know.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, time::Duration};

use zeroize::Zeroizing;

use crate::{forward::Forward, profile::Profile};

/// What one run of the client needs to know.
pub struct ClientConfig {
    /// Where to sign in and whom to trust.
    pub profile: Profile,
    /// Holds the device id, which is made once and kept, the local control socket, and the files of device scripts. Made
    /// with mode 0700 when missing.
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
    /// How device scripts are run here.
    pub device_scripts: DeviceScripts,
}

/// How device scripts are run on this device.
#[derive(Debug, Clone)]
pub struct DeviceScripts {
    /// How the processes that run scripts are started; without it no script runs.
    pub runner: Option<RunnerCommand>,
    /// Whether scripts run at all.
    pub mode: DeviceScriptMode,
    /// How long a script may take until it is ended. Default 5 s.
    pub limit: Duration,
    /// How often device claims are found out again, built-in ones included. Default 5 minutes, at least one second; every
    /// look runs every script, and every change asks the controller for new tokens.
    pub interval: Duration,
}

impl DeviceScripts {
    /// The default settings with this runner.
    pub fn new(runner: Option<RunnerCommand>) -> Self {
        Self {
            runner,
            mode: DeviceScriptMode::AsUser,
            limit: Duration::from_secs(5),
            interval: Duration::from_secs(300),
        }
    }
}

/// Whether device scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceScriptMode {
    /// Never; their claims stay undefined.
    Never,
    /// Unless the client runs as root: they get the rights of the user and no more (D 8).
    AsUser,
    /// Also when the client runs as root. Whoever may edit scripts on the controller is root on this device then.
    AlsoAsRoot,
}

/// How the processes that run device scripts are started. What is started calls
/// [`script_runner_main`](crate::script_runner_main) before anything else.
#[derive(Debug, Clone)]
pub struct RunnerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("profile", &self.profile)
            .field("data_dir", &self.data_dir)
            .field("username", &self.username)
            .field("socks", &self.socks)
            .field("forwards", &self.forwards)
            .field("device_scripts", &self.device_scripts)
            .finish_non_exhaustive()
    }
}
