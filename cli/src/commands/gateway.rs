//! `portcullis gateway`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use gateway::{GatewayConfig, Seed};
use ipnet::IpNet;
use serde_json::json;

use crate::{output::say, process};

/// Arguments of `portcullis gateway`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory for the gateway's key and the last good configuration; made when it does not exist.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The seed to enrol with, from `portcullis ctl gateway add`; needed on the first start only.
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Where clients are served (UDP).
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:443")]
    listen: SocketAddr,
    /// Prefix that may be dialled although it is loopback, link-local, multicast or the gateway's own; may be repeated.
    #[arg(long = "dial-allow", value_name = "CIDR")]
    dial_allow: Vec<IpNet>,
    /// Private, loopback or other local network that scripts may call over HTTP; may be repeated. Default: none.
    #[arg(long = "script-network", value_name = "CIDR")]
    script_networks: Vec<IpNet>,
    /// Take the read-only members of Java strings and lists away from scripts, such as `isEmpty()` and `equalsIgnoreCase()`.
    #[arg(long)]
    no_java_members: bool,
    /// Where counters are served as plain HTTP, `GET /metrics`. Default: nowhere.
    #[arg(long, value_name = "ADDRESS")]
    metrics_listen: Option<SocketAddr>,
    /// Hosts file, for Sites that use it.
    #[arg(long, value_name = "FILE", default_value = "/etc/hosts")]
    hosts_file: PathBuf,
    /// Controller to dial in place of those the seed names; may be repeated.
    #[arg(long = "controller", value_name = "HOST:PORT")]
    controllers: Vec<String>,
    /// File to write when clients are served with a configuration, as JSON.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// Runs a gateway until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = process::shutdown()?;
    let mut config = GatewayConfig::new(process::private_dir(&args.data)?, args.listen);
    config.seed = args.seed.as_deref().map(read_seed).transpose()?;
    config.dial_allow = args.dial_allow;
    config.script_networks = args.script_networks;
    config.java_members = !args.no_java_members;
    config.metrics_listen = args.metrics_listen;
    config.hosts_file = args.hosts_file;
    config.controllers = args.controllers;
    let mut shutdown = std::pin::pin!(shutdown);
    let running = tokio::select! {
        running = gateway::start(config, process::worker_command()?) => running.context("the gateway did not start")?,
        () = &mut shutdown => return Ok(ExitCode::SUCCESS),
    };
    tokio::select! {
        () = running.ready() => {
            say!("gateway ready: clients on {} (UDP)", running.address);
            let mut ready = json!({ "address": running.address });
            if let (Some(members), Some(metrics)) = (ready.as_object_mut(), running.metrics_address) {
                members.insert("metricsAddress".to_owned(), json!(metrics));
            }
            process::write_ready_file(args.ready_file.as_deref(), &ready)?;
            shutdown.await;
        }
        () = &mut shutdown => {}
    }
    tracing::info!("Stopping");
    running.stop().await;
    Ok(ExitCode::SUCCESS)
}

/// Reads a seed from its file.
fn read_seed(file: &Path) -> anyhow::Result<Seed> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("could not read the seed `{}`", file.display()))?;
    text.trim().parse().with_context(|| format!("`{}` holds no seed", file.display()))
}
