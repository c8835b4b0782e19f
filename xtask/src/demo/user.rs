//! A user with a `portcullis client` of their own.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::{
    admin::{complaint, text},
    download::Download,
    process::{Launcher, Process},
    socks,
    wait::{self, Seen},
};

/// What it takes to start a client.
pub struct Start<'a> {
    /// Starts processes.
    pub launcher: &'a Launcher,
    /// The binary.
    pub portcullis: &'a Path,
    /// The profile's URL.
    pub profile: &'a str,
    /// The client's directory; it is the device.
    pub data: PathBuf,
    /// Who.
    pub name: &'static str,
    /// The password's file.
    pub password_file: &'a Path,
    /// Where to offer SOCKS5.
    pub socks: SocketAddr,
    /// A port forward, `LOCAL=HOST:PORT`.
    pub forward: Option<String>,
}

/// A signed-in user, or one who tries to be.
pub struct User {
    name: &'static str,
    process: Process,
    portcullis: PathBuf,
    data: PathBuf,
    socks: SocketAddr,
}

impl User {
    /// Starts the client; it may still be refused.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(start: Start<'_>) -> Result<Self> {
        let Start { launcher, portcullis, profile, data, name, password_file, socks, forward } = start;
        let mut command = Command::new(portcullis);
        command.args(["client", "--profile", profile, "--username", name, "--data"]).arg(&data);
        command.args(["--socks", &socks.to_string(), "--password-file"]).arg(password_file);
        // The story changes what a device says of itself, and must be told soon; it may be told by root.
        command.args(["--device-interval", "2", "--device-scripts", "also-as-root"]);
        if let Some(forward) = forward {
            command.args(["--forward", &forward]);
        }
        let process = launcher.start(name, &mut command)?;
        Ok(Self { name, process, portcullis: portcullis.to_owned(), data, socks })
    }

    /// The client's SOCKS port.
    pub fn socks(&self) -> SocketAddr {
        self.socks
    }

    /// The client's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until a gateway serves the session.
    ///
    /// # Errors
    /// When the client ends or does not get there in time.
    pub fn wait_connected(&mut self) -> Result<Value> {
        self.wait_status("a connected client", CONNECT, |status| text(status, "state") == "connected")
    }

    /// Waits for a status.
    ///
    /// # Errors
    /// When the client ends or its status does not come to that in time.
    pub fn wait_status(&mut self, what: &str, bound: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let what = format!("{what} of {}", self.name);
        wait::until(&what, bound, || {
            self.process.require_alive()?;
            Ok(match self.status() {
                Ok(status) if wanted(&status) => Seen::Yes(status),
                Ok(status) => Seen::NotYet(format!("state {}, {}", text(&status, "state"), last_event(&status))),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
    }

    /// What `portcullis client status` says.
    ///
    /// # Errors
    /// When it fails.
    pub fn status(&self) -> Result<Value> {
        let output = self.client("status", &["--output", "json"])?;
        serde_json::from_slice(&output).context("the client's status is no JSON")
    }

    /// Has the client fetch new tokens.
    ///
    /// # Errors
    /// When it does not get them.
    pub fn renew(&self) -> Result<()> {
        self.client("renew", &[]).map(|_| ())
    }

    /// Answers what a condition asks for.
    ///
    /// # Errors
    /// When nothing is asked or the answer is not accepted.
    pub fn answer(&self, condition: &str, answer: &[&str]) -> Result<()> {
        self.client("answer", &[&[condition], answer].concat()).map(|_| ())
    }

    /// What an authenticator app has to be told, as programs ask the client's control socket for it.
    ///
    /// # Errors
    /// When no codes are asked for, or an app is set up already.
    pub fn enrol(&self, condition: &str) -> Result<String> {
        let mut socket = UnixStream::connect(self.data.join("control.sock")).context("no control socket")?;
        socket.set_read_timeout(Some(CONNECT))?;
        writeln!(socket, "{}", json!({ "command": "enrol", "condition": condition }))?;
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).context("the control socket does not answer")?;
        let answer: Value = serde_json::from_str(&line).context("the control socket's answer is no JSON")?;
        let uri = answer.pointer("/enrolment/uri").and_then(Value::as_str);
        uri.map(str::to_owned).with_context(|| format!("{} is not asked to set up an app", self.name))
    }

    /// Fetches `/hello` of a host through the tunnel.
    ///
    /// # Errors
    /// When it does not arrive.
    pub fn fetch(&self, host: &str, port: u16) -> Result<String> {
        socks::fetch(self.socks, host, port)
    }

    /// Starts a download through the tunnel.
    ///
    /// # Errors
    /// When nothing arrives.
    pub fn download(&self, host: &str, port: u16) -> Result<Download> {
        Download::start(self.socks, host, port)
    }

    fn client(&self, verb: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(&self.portcullis);
        command.args(["client", verb, "--data"]).arg(&self.data).args(arguments).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot run `portcullis client {verb}`"))?;
        if !output.status.success() {
            bail!("`portcullis client {verb}` failed for {}: {}", self.name, complaint(&output.stderr));
        }
        Ok(output.stdout)
    }
}

/// Connections that stand in a state, by where they go.
pub fn flows<'a>(status: &'a Value, state: &str) -> Vec<&'a Value> {
    let flows = status.get("flows").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    flows.iter().filter(|flow| text(flow, "state") == state).collect()
}

/// Events of one kind, oldest first.
pub fn events<'a>(status: &'a Value, kind: &str) -> Vec<&'a Value> {
    let events = status.get("events").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    events.iter().filter(|event| text(event, "event") == kind).collect()
}

fn last_event(status: &Value) -> String {
    let last = status.get("events").and_then(Value::as_array).and_then(|events| events.last());
    last.map_or_else(|| "nothing happened yet".to_owned(), |event| text(event, "message").to_owned())
}

/// Sign-in, authorization and the gateway's first scripts, on a slow machine.
const CONNECT: Duration = Duration::from_secs(20);
