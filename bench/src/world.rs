//! The processes under measurement: a controller and a gateway of the given program, on free loopback ports.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use protocol::tls::AuthorityPin;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::admin::Admin;

/// A running controller and gateway; both end with it.
pub struct World {
    dir: TempDir,
    program: PathBuf,
    children: Vec<Child>,
    /// The controller's client port.
    pub client_address: SocketAddr,
    /// The collective's authority.
    pub pin: AuthorityPin,
    /// Signed in as the built-in administrator.
    pub admin: Admin,
}

impl World {
    /// Starts a controller.
    pub async fn start(program: &Path) -> Result<Self> {
        let dir = TempDir::new()?;
        let password = dir.path().join("admin-password");
        std::fs::write(&password, ADMIN_PASSWORD)?;
        let ready = dir.path().join("controller.json");
        let data = dir.path().join("controller");
        let child = spawn(
            program,
            dir.path(),
            "controller",
            &[
                "controller".as_ref(),
                "--data".as_ref(),
                data.as_os_str(),
                "--client-listen".as_ref(),
                "127.0.0.1:0".as_ref(),
                "--admin-listen".as_ref(),
                "127.0.0.1:0".as_ref(),
                "--script-network".as_ref(),
                "127.0.0.0/8".as_ref(),
                "--admin-password-file".as_ref(),
                password.as_os_str(),
                "--ready-file".as_ref(),
                ready.as_os_str(),
            ],
        )?;
        let facts = wait_for(&ready).await?;
        let text = |name: &str| {
            facts.get(name).and_then(Value::as_str).with_context(|| format!("controller did not say its `{name}`"))
        };
        let admin = Admin::login(text("adminAddress")?.parse()?, Path::new(text("caFile")?), ADMIN_PASSWORD).await?;
        Ok(Self {
            client_address: text("clientAddress")?.parse()?,
            pin: AuthorityPin::parse(text("caFingerprint")?)?,
            children: vec![child],
            program: program.to_owned(),
            admin,
            dir,
        })
    }

    /// Adds a gateway of the Default Site that may dial loopback, and waits until it has its configuration.
    pub async fn add_gateway(&mut self) -> Result<()> {
        let port = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let body = json!({
            "name": "bench gateway", "hostname": "127.0.0.1", "site": DEFAULT_SITE, "networking": {},
            "clientInterface": { "hostname": "127.0.0.1", "httpsPort": port },
            "gateway": { "enabled": true, "vpn": { "weight": 100 } },
        });
        let appliance = self.admin.post("appliances", &body).await?;
        let id = appliance.get("id").and_then(Value::as_str).context("appliance has no id")?.to_owned();
        let export =
            self.admin.post(&format!("appliances/{id}/export"), &json!({ "provideCloudSSHKey": false })).await?;
        let seed = self.dir.path().join("seed");
        std::fs::write(&seed, export.get("seed").and_then(Value::as_str).context("no seed in the export")?)?;
        let ready = self.dir.path().join("gateway.json");
        let data = self.dir.path().join("gateway");
        let listen = format!("127.0.0.1:{port}");
        let child = spawn(
            &self.program,
            self.dir.path(),
            "gateway",
            &[
                "gateway".as_ref(),
                "--data".as_ref(),
                data.as_os_str(),
                "--seed".as_ref(),
                seed.as_os_str(),
                "--listen".as_ref(),
                listen.as_ref(),
                "--dial-allow".as_ref(),
                "127.0.0.0/8".as_ref(),
                "--script-network".as_ref(),
                "127.0.0.0/8".as_ref(),
                "--ready-file".as_ref(),
                ready.as_os_str(),
            ],
        )?;
        self.children.push(child);
        wait_for(&ready).await?;
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in &mut self.children {
            // A child that is already gone needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn spawn(program: &Path, dir: &Path, name: &str, args: &[&std::ffi::OsStr]) -> Result<Child> {
    let log = File::create(dir.join(format!("{name}.log")))?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    command.spawn().with_context(|| format!("cannot start {}", program.display()))
}

async fn wait_for(ready: &Path) -> Result<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        if let Some(facts) = std::fs::read(ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(facts);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let name = ready.with_extension("log");
    bail!("{} did not get ready within 60 s; its log ends: {}", name.display(), tail(&name))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// The built-in Site (D 32).
pub const DEFAULT_SITE: &str = "8a4add9e-0e99-4bb1-949c-c9faf9a49ad4";

/// The built-in condition that always holds (D 32).
pub const ALWAYS: &str = "ee7b7e6f-e904-4b4f-a5ec-b3bef040643e";

const ADMIN_PASSWORD: &str = "bench-Administrator-1";
