//! `portcullis controller`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use controller::{Running, settings::Settings};
use ipnet::IpNet;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::{output::say, process, secret};

/// Arguments of `portcullis controller`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory for the store, the keys and the authority's certificate; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where clients and gateways are served (UDP).
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:443")]
    client_listen: SocketAddr,
    /// Where the admin API is served (TCP).
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8443")]
    admin_listen: SocketAddr,
    /// Name or address that clients, gateways and administrators reach this controller by; may be repeated.
    #[arg(long = "hostname", value_name = "NAME", default_value = "localhost")]
    hostnames: Vec<String>,
    /// Further name or address that administrators reach the admin API by; may be repeated.
    #[arg(long = "admin-hostname", value_name = "NAME")]
    admin_names: Vec<String>,
    /// Private, loopback or other local network that scripts may call over HTTP; may be repeated. Default: none.
    #[arg(long = "script-network", value_name = "CIDR")]
    script_networks: Vec<IpNet>,
    /// Take the read-only members of Java strings and lists away from scripts, such as `isEmpty()` and `equalsIgnoreCase()`.
    #[arg(long)]
    no_java_members: bool,
    /// Where counters are served as plain HTTP, `GET /metrics`. Default: nowhere.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// The master key. Default: `master.key` in the data directory; best kept elsewhere.
    #[arg(long, value_name = "FILE")]
    master_key: Option<PathBuf>,
    /// File with the password for `admin`, read on the first start only. Default: one is made and printed once.
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// File to write when everything is served, as JSON: addresses, fingerprint and file of the authority.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// What the ready file says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready {
    client_address: SocketAddr,
    admin_address: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_address: Option<SocketAddr>,
    ca_fingerprint: String,
    ca_file: PathBuf,
}

/// Runs a controller until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = process::shutdown()?;
    let data = process::private_dir(&args.data)?;
    let mut settings = Settings::new(data.clone());
    settings.client_port = args.client_listen;
    settings.admin_port = args.admin_listen;
    settings.hostnames = args.hostnames;
    settings.admin_names = args.admin_names;
    settings.script_networks = args.script_networks;
    settings.java_members = !args.no_java_members;
    settings.metrics_port = args.metrics_listen;
    if let Some(master_key) = args.master_key {
        settings.master_key = master_key;
    }
    let running = start(settings, &data, args.admin_password_file.as_deref()).await?;
    let ready = Ready::of(&running, &data);
    say!("controller ready: clients on {} (UDP), admin API on https://{}", ready.client_address, ready.admin_address);
    say!("authority: {} ({})", ready.ca_fingerprint, ready.ca_file.display());
    process::write_ready_file(args.ready_file.as_deref(), &ready)?;
    shutdown.await;
    tracing::info!("Stopping");
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Starts a controller, writes its authority's certificate and tells the first password.
pub(super) async fn start(
    mut settings: Settings,
    data: &Path,
    password_file: Option<&Path>,
) -> anyhow::Result<Running> {
    settings.first_admin_password = read_password(data, password_file)?;
    let running =
        controller::start(settings, process::worker_command()?).await.context("the controller did not start")?;
    if let Err(error) = tell(&running, data) {
        running.stop().await;
        return Err(error);
    }
    Ok(running)
}

/// The password for the first start. It is read before anything is made, so that a missing file leaves no half-made
/// collective behind; on later starts the file may be gone.
fn read_password(data: &Path, file: Option<&Path>) -> anyhow::Result<Option<Zeroizing<String>>> {
    let Some(file) = file else { return Ok(None) };
    let is_first = std::fs::read_dir(data).is_ok_and(|mut entries| entries.next().is_none());
    match secret::read_password(Some(file), "admin") {
        Err(_) if !is_first => Ok(None),
        read => read.map(Some),
    }
}

fn tell(running: &Running, data: &Path) -> anyhow::Result<()> {
    process::write_file(&data.join(AUTHORITY_FILE), running.authority_pem.as_bytes(), 0o644)?;
    if let Some(generated) = &running.first_admin_password {
        say!("first start: the password of `admin` is {} (shown this once)", generated.reveal());
    }
    Ok(())
}

impl Ready {
    pub(super) fn of(running: &Running, data: &Path) -> Self {
        Self {
            client_address: running.client_address,
            admin_address: running.admin_address,
            metrics_address: running.metrics_address,
            ca_fingerprint: running.authority_pin.to_string(),
            ca_file: data.join(AUTHORITY_FILE),
        }
    }
}

/// The authority's certificate, for administrators and their tools.
pub(super) const AUTHORITY_FILE: &str = "authority.pem";
