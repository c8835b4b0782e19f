//! The house is built: services, controller, administrator, policies, gateway.

use std::{env, fs, net::IpAddr, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::super::{
    admin::text,
    place::{self, HOSTS, Host, WIKI},
    report::Done,
    socks,
    wait::{self, Seen},
    world::World,
};

/// Writes what the name server answers, with other addresses for the names given.
pub fn write_names(world: &World, moved: &[(&str, IpAddr)]) -> Result<()> {
    let address_of = |host: &Host| {
        let new = moved.iter().find(|(name, _)| *name == host.name);
        new.map_or_else(|| world.place.address(host.number), |(_, address)| *address)
    };
    let names: String = HOSTS.iter().map(|host| format!("{} {}\n", host.name, address_of(host))).collect();
    place::write_private(&world.place.path("names"), &names)
}

/// The demo's own servers, reached directly to know that they are there.
pub fn start_services(world: &mut World) -> Result<Done> {
    write_names(world, &[])?;
    let names_file = world.place.path("names");
    let program = env::current_exe().context("cannot find this program")?;
    let listen = world.place.name_server().to_string();
    world
        .serve("names", Command::new(&program).args(["serve-dns", "--listen", &listen, "--names"]).arg(&names_file))?;
    let facts = world.place.facts();
    let ports = HOSTS.iter().flat_map(|host| host.ports.iter().map(move |port| (host, *port)));
    let services: Vec<String> =
        ports.map(|(host, port)| format!("{}={}:{port}", host.name, world.place.address(host.number))).collect();
    world.serve("services", Command::new(&program).arg("serve-http").args(&services).arg("--facts").arg(&facts))?;
    let wiki = (world.place.address(WIKI.number), 8080);
    wait::until("an answer of the services", QUICK, || {
        world.server("services")?.require_alive()?;
        world.server("names")?.require_alive()?;
        let answer = std::net::TcpStream::connect(wiki).map_err(Into::into).and_then(socks::get_hello);
        Ok(answer.map_or_else(|error| Seen::NotYet(error.to_string()), Seen::Yes))
    })?;
    Done::saw(format!("{} services and a name server on {}", services.len(), world.place.network()))
}

/// A controller with a fresh store.
pub fn start_controller(world: &mut World) -> Result<Done> {
    world.place.make_password("admin")?;
    let ready = launch_controller(world)?;
    Done::saw(format!(
        "serves clients on {} and administrators on {}",
        text(&ready, "clientAddress"),
        text(&ready, "adminAddress")
    ))
}

/// Starts the controller, the first time or again, and waits until it serves.
pub fn launch_controller(world: &mut World) -> Result<Value> {
    let ready = world.place.path("controller.ready");
    // A file of an earlier start says nothing about this one.
    let _ = fs::remove_file(&ready);
    let place = &world.place;
    let (clients, admins, host) =
        (place.client_port().to_string(), place.admin_port().to_string(), place.address(1).to_string());
    let mut command = world.portcullis(&[
        "controller",
        "--client-listen",
        &clients,
        "--admin-listen",
        &admins,
        "--hostname",
        &host,
        "--script-network",
        &place.network(),
        "--data",
    ]);
    command.arg(place.path("controller")).arg("--admin-password-file").arg(world.place.password_file("admin"));
    command.arg("--ready-file").arg(&ready);
    world.serve("controller", &mut command)?;
    world.wait_ready("controller", &ready)
}

/// The administrator signs in through the REST API.
pub fn sign_in_administrator(world: &mut World) -> Result<Done> {
    let url = format!("https://{}", world.place.admin_port());
    let answer =
        world.admin.login(&url, &world.place.path("controller/authority.pem"), &world.place.password_file("admin"))?;
    Done::saw(format!("signed in at {url} until {}", text(&answer, "expires")))
}

/// The example policies go in through the REST API; a second time nothing is left to do.
pub fn apply_policies(world: &mut World) -> Result<Done> {
    for user in ["ana", "ben", "carl", "dora"] {
        world.place.make_password(user)?;
    }
    let bundle = world.place.copy_bundle()?;
    let bundle = bundle.to_str().context("the directory's name is no text")?;
    let first = outcomes(&world.admin.ctl(&["apply", "-f", bundle])?);
    ensure!(first.iter().any(|outcome| outcome == "created"), "nothing was created: {first:?}");
    let second = outcomes(&world.admin.ctl(&["apply", "-f", bundle])?);
    ensure!(second.iter().all(|outcome| outcome == "unchanged"), "applying twice was not idempotent: {second:?}");
    let server = json!([{ "name": "demo", "servers": [world.place.name_server().to_string()], "updateInterval": 5 }]);
    world.admin.edit("Site", "sites", SITE, |site| {
        if let Some(site) = site.as_object_mut() {
            site.insert("nameResolution".to_owned(), json!({ "useHostsFile": false, "dnsResolvers": server }));
        }
    })?;
    Done::saw(format!("{} objects created, unchanged when applied again", first.len()))
}

fn outcomes(answer: &Value) -> Vec<String> {
    let list = answer.get("objects").or_else(|| answer.get("data")).unwrap_or(answer);
    let list = list.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|object| text(object, "result").to_owned()).collect()
}

/// A gateway shows its one-time seed, becomes a member and fetches its configuration.
pub fn enrol_gateway(world: &mut World) -> Result<Done> {
    let seed = world.place.path("seed");
    let listen = world.place.gateway_port();
    let (host, port) = (listen.ip().to_string(), listen.port().to_string());
    let seed_path = seed.to_str().context("the directory's name is no text")?;
    world.admin.ctl(&[
        "gateway",
        "add",
        "gate-1",
        "--site",
        SITE,
        "--hostname",
        &host,
        "--port",
        &port,
        "--seed-out",
        seed_path,
    ])?;
    launch_gateway(world, Some(&seed))?;
    let profile = world.admin.ctl(&["profile", "--provider", "local"])?;
    place::write_private(&world.place.path("profile.txt"), text(&profile, "url"))?;
    Done::saw(format!("gate-1 enrolled with its seed and serves Site {SITE} on {listen}"))
}

/// Starts the gateway, the first time with its seed or again without, and waits until it serves.
pub fn launch_gateway(world: &mut World, seed: Option<&Path>) -> Result<()> {
    let ready = world.place.path("gateway.ready");
    // A file of an earlier start says nothing about this one.
    let _ = fs::remove_file(&ready);
    let place = &world.place;
    let (listen, network) = (place.gateway_port().to_string(), place.network());
    let mut command = world.portcullis(&[
        "gateway",
        "--listen",
        &listen,
        "--dial-allow",
        &network,
        "--script-network",
        &network,
        "--data",
    ]);
    command.arg(place.path("gateway")).arg("--ready-file").arg(&ready);
    if let Some(seed) = seed {
        command.arg("--seed").arg(seed);
    }
    world.serve("gateway", &mut command)?;
    world.wait_ready("gateway", &ready).map(|_| ())
}

/// The one Site of the story.
pub const SITE: &str = "Demo";

const QUICK: std::time::Duration = std::time::Duration::from_secs(10);
