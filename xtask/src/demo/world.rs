//! Everything the demo has running, and the order in which it ends.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    admin::Admin,
    download::Download,
    place::Place,
    process::{Launcher, Process},
    user::{Start, User},
};

/// Everything the demo has running.
pub struct World {
    /// Directory and network.
    pub place: Place,
    /// Starts processes.
    pub launcher: Launcher,
    /// The administrator.
    pub admin: Admin,
    /// Tries what an attacker with stolen tokens would.
    pub thief: PathBuf,
    /// Signed-in users by name. They stand before the servers, so that they end first.
    pub users: BTreeMap<&'static str, User>,
    /// Servers by name.
    pub servers: BTreeMap<&'static str, Process>,
    /// A revocation that is not due yet.
    pub delayed: Option<Delayed>,
    /// A download that a schedule will cut, and when its reason went away.
    pub scheduled: Option<(Download, Instant)>,
    /// A download whose first tokens were revoked with a delay, and when.
    pub renewed: Option<(Download, Instant)>,
    portcullis: PathBuf,
}

/// A revocation that is not due yet, and the download that lives until then.
pub struct Delayed {
    /// The download.
    pub download: Download,
    /// When the revocation was asked for, and when the answer was there.
    pub asked: (Instant, Instant),
}

impl World {
    /// Nothing runs yet.
    pub fn new(place: Place, launcher: Launcher, portcullis: PathBuf, thief: PathBuf) -> Self {
        let admin = Admin::new(portcullis.clone(), place.path("ctl.json"));
        Self {
            place,
            launcher,
            admin,
            thief,
            users: BTreeMap::new(),
            servers: BTreeMap::new(),
            delayed: None,
            scheduled: None,
            renewed: None,
            portcullis,
        }
    }

    /// A command of the product.
    pub fn portcullis(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.portcullis);
        command.args(arguments);
        command
    }

    /// The binary of the product.
    pub fn portcullis_path(&self) -> &Path {
        &self.portcullis
    }

    /// Starts a server under a name; the name is also that of its log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn serve(&mut self, name: &'static str, command: &mut Command) -> Result<()> {
        let process = self.launcher.start(name, command)?;
        self.servers.insert(name, process);
        Ok(())
    }

    /// A server by its name.
    ///
    /// # Errors
    /// When it was never started.
    pub fn server(&mut self, name: &str) -> Result<&mut Process> {
        self.servers.get_mut(name).with_context(|| format!("{name} is not running"))
    }

    /// A signed-in user by name.
    ///
    /// # Errors
    /// When an earlier step did not get them signed in.
    pub fn user(&mut self, name: &str) -> Result<&mut User> {
        self.users.get_mut(name).with_context(|| format!("{name} is not signed in"))
    }

    /// Starts a user's client; whether it gets in is the caller's to check.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_client(&self, name: &'static str, number: u8, forward: Option<String>) -> Result<User> {
        let profile = fs::read_to_string(self.place.path("profile.txt")).context("there is no client profile")?;
        User::start(Start {
            launcher: &self.launcher,
            portcullis: &self.portcullis,
            profile: profile.trim(),
            data: self.place.path(name),
            name,
            password_file: &self.place.password_file(name),
            socks: SocketAddr::new(self.place.address(number), SOCKS_PORT),
            forward,
        })
    }

    /// Waits for the ready file of a server and answers what it says.
    ///
    /// # Errors
    /// When the server ends or the file does not appear.
    pub fn wait_ready(&mut self, name: &str, file: &Path) -> Result<Value> {
        use super::wait::{Seen, until};
        let server = self.server(name)?;
        until(&format!("a ready {name}"), READY, || {
            server.require_alive()?;
            let content = fs::read(file).ok().and_then(|text| serde_json::from_slice(&text).ok());
            Ok(content.map_or(Seen::NotYet("no ready file".to_owned()), Seen::Yes))
        })
    }

    /// All processes with their names and ids.
    pub fn processes(&mut self) -> Vec<(String, &mut Process)> {
        let users = self.users.iter_mut().map(|(name, user)| (format!("client of {name}"), user.process()));
        users.chain(self.servers.iter_mut().map(|(name, process)| ((*name).to_owned(), process))).collect()
    }
}

/// Where every client offers SOCKS5, each on an address of its own.
const SOCKS_PORT: u16 = 1080;

/// The first start makes keys and fills the store.
const READY: std::time::Duration = std::time::Duration::from_secs(30);
