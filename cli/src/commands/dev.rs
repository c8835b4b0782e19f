//! `portcullis dev`: a controller, a gateway, the example policies and the services they protect in one process on
//! loopback, to play with. It goes through the same admin API, enrolment and ports as the real thing.

mod example;
mod services;

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    pin::pin,
    process::ExitCode,
};

use anyhow::Context as _;
use controller::settings::Settings;
use gateway::GatewayConfig;
use uuid::Uuid;

use super::ctl::{
    api::Api,
    apply, bundle,
    client_profile::{fingerprint, profile_url},
    gateway as appliance, login,
    profile::SavedProfile,
};
use crate::{environment, output::say, process};

/// Arguments of `portcullis dev`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory for everything; what is there is used again. Default: a new one that is removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Do not remove the new directory at the end.
    #[arg(long, conflicts_with = "data")]
    keep: bool,
}

/// Where things lie.
struct Places {
    controller: PathBuf,
    gateway: PathBuf,
    policies: PathBuf,
    admin_password: PathBuf,
    sign_in: PathBuf,
    hosts: PathBuf,
}

/// Runs everything until it is told to stop.
pub(crate) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shutdown = process::shutdown()?;
    let temporary = args.data.is_none();
    let data = args
        .data
        .unwrap_or_else(|| environment::temporary_dir().join(format!("portcullis-dev-{}", Uuid::new_v4().simple())));
    let data = process::private_dir(&data)?;
    let result = run_in(&data, shutdown).await;
    if temporary && !args.keep {
        fs::remove_dir_all(&data).with_context(|| format!("could not remove `{}`", data.display()))?;
    } else {
        say!("everything is kept in {}", data.display());
    }
    result.map(|()| ExitCode::SUCCESS)
}

async fn run_in(data: &Path, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown);
    let places = Places::in_dir(data)?;
    let users = example::write(&places.policies)?;
    let admin_password = example::password_in(&places.admin_password)?;
    let mut settings = Settings::new(places.controller.clone());
    settings.client_port = loopback(0);
    settings.admin_port = loopback(0);
    settings.hostnames = vec![HOST.to_owned()];
    settings.script_networks = vec![services::network()];
    let controller = super::controller::start(settings, &places.controller, Some(&places.admin_password)).await?;
    let running = async {
        let api = sign_in(&places, controller.admin_address, &controller.authority_pem).await?;
        apply_example(&api, &places).await?;
        let gateway = start_gateway(&api, &places, controller.client_address).await?;
        let services = services::start().await?;
        gateway.ready().await;
        let profile =
            profile_url(&controller.client_address.to_string(), &fingerprint(&controller.authority_pem)?, "local");
        welcome(data, &places, controller.admin_address, &profile, &admin_password, &users);
        anyhow::Ok((gateway, services))
    };
    let result = tokio::select! {
        started = running => started,
        () = &mut shutdown => return stop(controller, None).await,
    };
    match result {
        Ok((gateway, services)) => {
            shutdown.await;
            drop(services);
            stop(controller, Some(gateway)).await
        }
        Err(error) => {
            stop(controller, None).await?;
            Err(error)
        }
    }
}

async fn stop(controller: controller::Running, gateway: Option<gateway::Running>) -> anyhow::Result<()> {
    if let Some(gateway) = gateway {
        gateway.stop().await;
    }
    controller.stop().await;
    Ok(())
}

impl Places {
    fn in_dir(data: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            controller: process::private_dir(&data.join("controller"))?,
            gateway: process::private_dir(&data.join("gateway"))?,
            policies: process::private_dir(&data.join("policies"))?,
            admin_password: data.join("admin-password"),
            sign_in: data.join("ctl.json"),
            hosts: data.join("hosts"),
        })
    }
}

async fn sign_in(places: &Places, admin: SocketAddr, authority: &str) -> anyhow::Result<Api> {
    let mut profile = SavedProfile {
        url: format!("https://{admin}"),
        authority: authority.to_owned(),
        provider: "local".to_owned(),
        username: "admin".to_owned(),
        device_id: Uuid::new_v4(),
        password_file: Some(places.admin_password.clone()),
        token: None,
    };
    login::sign_in(&mut profile).await.context("could not sign in to the admin API with the kept password")?;
    profile.save(&places.sign_in)?;
    login::open(&places.sign_in).await
}

async fn apply_example(api: &Api, places: &Places) -> anyhow::Result<()> {
    let documents = bundle::read(std::slice::from_ref(&places.policies))?;
    fs::write(&places.hosts, services::hosts_file())
        .with_context(|| format!("could not write `{}`", places.hosts.display()))?;
    apply::apply(api, documents, false, &mut Vec::new(), false).await
}

async fn start_gateway(api: &Api, places: &Places, controller: SocketAddr) -> anyhow::Result<gateway::Running> {
    // The port must be known before the gateway is, because its appliance names it.
    let listen = UdpSocket::bind(loopback(0))
        .and_then(|socket| socket.local_addr())
        .context("no UDP port is free on loopback")?;
    let wanted = appliance::Wanted { name: "dev-gateway", site: example::SITE, hostname: HOST, port: listen.port() };
    let added = appliance::put(api, &wanted).await?;
    let mut config = GatewayConfig::new(places.gateway.clone(), listen);
    config.seed = added.seed.as_deref().map(str::parse).transpose()?;
    config.dial_allow = vec![services::network()];
    config.script_networks = vec![services::network()];
    config.hosts_file = places.hosts.clone();
    config.controllers = vec![controller.to_string()];
    gateway::start(config, process::worker_command()?).await.context("the gateway did not start")
}

fn welcome(data: &Path, places: &Places, admin: SocketAddr, profile: &str, password: &str, users: &[String]) {
    let data = data.display();
    let sign_in = places.sign_in.display();
    let (first, rest) =
        users.split_first().map_or(("ana", String::new()), |(first, rest)| (first.as_str(), rest.join(", ")));
    let passwords = places.policies.join(example::PASSWORDS);
    let passwords = passwords.display();
    say!(
        "\
controller, gateway and example policies are ready; Ctrl-C ends them

connect as {first} (or {rest}; passwords are in {passwords}):
    portcullis client --data {data}/client --username {first} --password-file {passwords}/{first} \\
        --socks 127.0.0.1:1080 --profile {profile}

reach a protected page through the gateway, then one that is not granted:
    curl --socks5-hostname 127.0.0.1:1080 http://wiki.demo.internal:8080/
    curl --socks5-hostname 127.0.0.1:1080 http://helpdesk.demo.internal:8080/

look around, change things, cut access (admin API: https://{admin}, user admin, password {password}):
    portcullis ctl --config {sign_in} get policies
    portcullis ctl --config {sign_in} apply -f {data}/policies
    portcullis ctl --config {sign_in} sessions
    portcullis ctl --config {sign_in} revoke CN={first},OU=local
    portcullis ctl --config {sign_in} logs --follow
"
    );
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

const HOST: &str = "127.0.0.1";
