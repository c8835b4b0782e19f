//! Running a client: arguments, events as lines, passwords when they are needed again.

use std::{
    collections::BTreeMap,
    io::IsTerminal as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use client::{ClientConfig, ClientEvent, DeviceScriptMode, DeviceScripts, Ended, Forward, PasswordRequest, Profile};
use protocol::tls::AuthorityPin;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::sync::mpsc;

use super::answer;
use crate::{
    output::{Output, printable, say, warn},
    process, secret,
};

/// Arguments of a client that connects.
#[derive(Debug, clap::Args)]
#[group(id = "connect")]
pub(super) struct Args {
    /// Profile as your administrator gave it to you: the URL, or a file that holds it.
    #[arg(long, value_name = "URL|FILE", required_unless_present = "controllers", conflicts_with_all = ["controllers", "ca_fingerprint", "provider"])]
    profile: Option<String>,
    /// Controller to sign in at, in place of a profile; may be repeated.
    #[arg(long = "controller", value_name = "HOST:PORT", requires_all = ["ca_fingerprint", "provider"])]
    controllers: Vec<String>,
    /// SHA-256 of the authority's certificate, in place of a profile.
    #[arg(long, value_name = "HEX", requires = "controllers")]
    ca_fingerprint: Option<String>,
    /// Identity provider, in place of a profile.
    #[arg(long, value_name = "NAME", requires = "controllers")]
    provider: Option<String>,
    /// Directory for the device id and the control socket; made when it does not exist.
    #[arg(long, value_name = "DIR", required = true)]
    data: Option<PathBuf>,
    /// User name.
    #[arg(long, required = true)]
    username: Option<String>,
    /// File with the password on its first line, or `-` for the standard input. Without it the password is asked for.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Sign in again from the password file whenever that is needed, without asking.
    #[arg(long, requires = "password_file")]
    keep_signed_in: bool,
    /// Offer SOCKS5 here. Everybody who can connect there uses your access, so take a loopback address.
    #[arg(long, value_name = "ADDRESS")]
    socks: Option<SocketAddr>,
    /// Local port whose connections go to one protected destination; may be repeated.
    #[arg(long = "forward", value_name = "[udp:][ADDR:]PORT=HOST:PORT")]
    forwards: Vec<Forward>,
    /// Dial this address in place of what `HOST:PORT` of a controller or gateway resolves to; may be repeated.
    #[arg(long = "dial", value_name = "HOST:PORT=ADDRESS", value_parser = parse_dial)]
    dial_overrides: Vec<(String, SocketAddr)>,
    /// Whether scripts that your administrator set up look at this device. Without them you may be refused what they decide.
    #[arg(long, value_enum, default_value_t = Mode::AsUser, value_name = "WHEN")]
    device_scripts: Mode,
    /// Seconds a device script may take until it is ended.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=60))]
    device_script_limit: u64,
    /// Seconds between two looks at this device.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86400))]
    device_interval: u64,
    /// File to write when the first gateway admitted the session, as JSON with the local ports.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

/// When device scripts run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Never.
    Never,
    /// Unless the client runs as root.
    AsUser,
    /// Also when the client runs as root; whoever may edit scripts on the controller is root here then.
    AlsoAsRoot,
}

impl From<Mode> for DeviceScriptMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Never => Self::Never,
            Mode::AsUser => Self::AsUser,
            Mode::AlsoAsRoot => Self::AlsoAsRoot,
        }
    }
}

/// Connects until told to stop.
pub(super) async fn run(args: Args, output: Output) -> anyhow::Result<ExitCode> {
    let shutdown = process::shutdown()?;
    let username = args.username.clone().context("who signs in? use --username NAME")?;
    let config = ClientConfig {
        profile: profile(&args)?,
        data_dir: process::private_dir(args.data.as_deref().context("use --data DIR")?)?,
        password: secret::read_password(args.password_file.as_deref(), &format!("password of {username}"))?,
        username: username.clone(),
        socks: args.socks,
        forwards: args.forwards,
        dial_overrides: args.dial_overrides.into_iter().collect::<BTreeMap<_, _>>(),
        device_scripts: DeviceScripts {
            runner: Some(process::device_script_command()?),
            mode: args.device_scripts.into(),
            limit: Duration::from_secs(args.device_script_limit),
            interval: Duration::from_secs(args.device_interval),
        },
    };
    let (sender, receiver) = mpsc::channel(QUEUED_EVENTS);
    let password_file = args.password_file.filter(|file| file != Path::new("-"));
    let again = match password_file {
        Some(file) if args.keep_signed_in => Again::File(file),
        Some(_) | None if std::io::stdin().is_terminal() && output == Output::Table => Again::Prompt(username),
        Some(_) | None => Again::Tell,
    };
    let asks = matches!(again, Again::Prompt(_)).then(|| config.data_dir.clone());
    let shower = Shower { output, again, asks, ready_file: args.ready_file, listeners: Vec::new(), told: false };
    let shown = tokio::spawn(show(receiver, shower));
    let ended = client::run(config, shutdown, sender).await;
    // The events end with the client, and the last of them may say why.
    shown.await.context("the client's messages could not be shown")??;
    match ended? {
        Ended::Shutdown | Ended::SignedOut => Ok(ExitCode::SUCCESS),
    }
}

/// Where the password comes from when it is needed again.
enum Again {
    File(PathBuf),
    Prompt(String),
    Tell,
}

struct Shower {
    output: Output,
    again: Again,
    /// Where the client runs whose user sits at this terminal and can be asked.
    asks: Option<PathBuf>,
    ready_file: Option<PathBuf>,
    listeners: Vec<Value>,
    told: bool,
}

async fn show(mut events: mpsc::Receiver<ClientEvent>, mut shower: Shower) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        shower.print(&event)?;
        shower.tell_ready(&event)?;
        match event {
            ClientEvent::SignInNeeded { request, .. } => shower.answer(request),
            ClientEvent::ConditionFalse { condition, remedies, .. } if !remedies.is_empty() => shower.ask(condition),
            _ => {}
        }
    }
    Ok(())
}

impl Shower {
    fn print(&self, event: &ClientEvent) -> anyhow::Result<()> {
        let now = OffsetDateTime::now_utc();
        match self.output {
            Output::Table => event.to_string().lines().for_each(|line| say!("{}", printable(line.to_owned()))),
            Output::Json => {
                let mut line = serde_json::to_value(event)?;
                if let Value::Object(members) = &mut line {
                    members.insert("at".to_owned(), now.format(&Rfc3339)?.into());
                    members.insert("message".to_owned(), event.to_string().into());
                }
                say!("{line}");
            }
        }
        Ok(())
    }

    fn tell_ready(&mut self, event: &ClientEvent) -> anyhow::Result<()> {
        match event {
            ClientEvent::Listening { purpose, address } => {
                self.listeners.push(json!({ "purpose": purpose, "address": address }))
            }
            ClientEvent::Admitted { .. } if !self.told => {
                self.told = true;
                let socks = self.listeners.iter().find(|listener| listener.get("purpose") == Some(&"SOCKS5".into()));
                let socks = socks.and_then(|listener| listener.get("address")).cloned();
                process::write_ready_file(
                    self.ready_file.as_deref(),
                    &json!({ "socks": socks, "listeners": self.listeners }),
                )?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Asks for what a condition wants, where there is somebody to ask.
    fn ask(&self, condition: String) {
        if let Some(data) = self.asks.clone() {
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || answer::ask_here(data, condition, &runtime));
        }
    }

    fn answer(&self, request: PasswordRequest) {
        let (file, prompt) = match &self.again {
            Again::File(file) => (Some(file.clone()), String::new()),
            Again::Prompt(username) => (None, format!("password of {username}")),
            // Nobody can be asked; the event has told what to do.
            Again::Tell => return,
        };
        tokio::task::spawn_blocking(move || match secret::read_password(file.as_deref(), &prompt) {
            Ok(password) => request.answer(password),
            Err(error) => warn(format_args!("error: {error:#}")),
        });
    }
}

fn profile(args: &Args) -> anyhow::Result<Profile> {
    if let Some(text) = &args.profile {
        let text = if text.contains("://") {
            text.clone()
        } else {
            std::fs::read_to_string(text).with_context(|| format!("could not read the profile `{text}`"))?
        };
        return Ok(text.trim().parse()?);
    }
    let (Some(fingerprint), Some(provider)) = (&args.ca_fingerprint, &args.provider) else {
        bail!("use --profile, or --controller with --ca-fingerprint and --provider");
    };
    Ok(Profile {
        controllers: args.controllers.clone(),
        ca_fingerprint: AuthorityPin::parse(fingerprint)?,
        provider: provider.clone(),
    })
}

fn parse_dial(text: &str) -> Result<(String, SocketAddr), String> {
    let (host, address) = text.split_once('=').ok_or("expected HOST:PORT=ADDRESS:PORT")?;
    let address = address.parse().map_err(|_| format!("`{address}` is not an address with a port"))?;
    Ok((host.to_owned(), address))
}

/// Events that may wait for a slow terminal; the client drops more.
const QUEUED_EVENTS: usize = 1024;
