//! Sign-in, tokens, and what they open and do not open.

use std::{
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    super::{
        admin::{text, texts},
        place::{self, VAULT, WIKI},
        report::Done,
        socks::{self, ConnectError, Reply},
        user::events,
        world::World,
    },
    house::SITE,
};

/// A wrong password gets nobody in, and the audit log says so.
pub fn wrong_password(world: &mut World) -> Result<Done> {
    let right = world.place.password_file("ana");
    let kept = std::fs::read_to_string(&right).context("cannot read the password")?;
    place::write_private(&right, "not her password")?;
    let refused = world.start_client("ana", ANA, None).and_then(|mut user| {
        let status = user.process().wait(REFUSAL)?;
        Ok((status, user.process().log_tail()))
    });
    place::write_private(&right, &kept)?;
    let (status, said) = refused?;
    ensure!(!status.success(), "the client took a wrong password");
    let record =
        world.admin.record_of("authentication_failed", "ana")?.context("the audit log has no failed sign-in of ana")?;
    Done::saw(format!("refused ({}); ana reads: {}", text(&record, "reason"), plain(&said)))
}

/// Users sign in with clients of their own.
pub fn sign_in(world: &mut World) -> Result<Done> {
    let before = Instant::now();
    let forward = format!("{}={}:8080", SocketAddr::new(world.place.address(ANA), FORWARDED), WIKI.name);
    let mut ana = world.start_client("ana", ANA, Some(forward))?;
    let status = ana.wait_connected()?;
    let took = before.elapsed();
    world.users.insert("ana", ana);
    for (name, number) in [("ben", BEN), ("dora", DORA)] {
        let mut user = world.start_client(name, number, None)?;
        user.wait_connected()?;
        world.users.insert(name, user);
    }
    Done::measured(took, format!("{} is connected; ben and dora are, too", text(&status, "name")))
}

/// The client holds a claims token, and its id stands in the audit log.
pub fn claims_token(world: &mut World) -> Result<Done> {
    let status = world.user("ana")?.status()?;
    let token = token(&status, "Claims")?;
    let record =
        world.admin.record_of("authentication_succeeded", "ana")?.context("the audit log has no sign-in of ana")?;
    let (held, issued) = (text(token, "id"), text(&record, "claims_token_id"));
    ensure!(held == issued, "the client holds claims token {held}, the audit log names {issued}");
    let shown = status.to_string();
    ensure!(!shown.contains("eyJ"), "the client's status shows a token");
    Done::saw(format!("{held} until {}, as the audit log has it", text(token, "expires")))
}

/// The same criteria script makes one policy match and the other not.
pub fn criteria_script(world: &mut World) -> Result<Done> {
    let record = |user: &str| {
        let record = world.admin.record_of("authorization_succeeded", user)?;
        record.with_context(|| format!("the audit log has no authorization of {user}"))
    };
    let (ana, ben) = (record("ana")?, record("ben")?);
    let (ana, ben) = (texts(&ana, "policy_names"), texts(&ben, "policy_names"));
    ensure!(ana.contains(&"Engineers") && !ana.contains(&"Contractors"), "ana matched {ana:?}");
    ensure!(ben.contains(&"Contractors") && !ben.contains(&"Engineers"), "ben matched {ben:?}");
    Done::saw("criteria script isEngineer gave ana Engineers and not Contractors, and ben the reverse")
}

/// A Stop policy keeps Carl out although another policy would let him in.
pub fn stop_policy(world: &mut World) -> Result<Done> {
    let mut carl = world.start_client("carl", CARL, None)?;
    let status = carl.process().wait(REFUSAL)?;
    ensure!(!status.success(), "carl's client ended as if all were well");
    let said = plain(&carl.process().log_tail());
    let record = world
        .admin
        .record_of("authorization_failed", "carl")?
        .context("the audit log has no refused authorization of carl")?;
    ensure!(record.to_string().contains("Leavers"), "the audit log does not name the Stop policy: {record}");
    let granted = world.admin.record_of("authorization_succeeded", "carl")?;
    ensure!(granted.is_none(), "carl was authorized");
    Done::saw(format!("carl is stopped by Leavers and reads: {said}"))
}

/// One entitlement token for the Site, and a gateway that took it.
pub fn entitlement_token(world: &mut World) -> Result<Done> {
    let status = world.user("ana")?.status()?;
    let token = token(&status, "Entitlement")?;
    ensure!(text(token, "site") == SITE, "the token is for Site {}", text(token, "site"));
    let sites = status.get("sites").and_then(Value::as_array).context("the status has no Sites")?;
    let [site] = sites.as_slice() else { bail!("ana has {} Sites", sites.len()) };
    let entitlements = texts(site, "entitlements");
    ensure!(
        entitlements.contains(&"Team pages") && !entitlements.contains(&"Helpdesk"),
        "the token grants {entitlements:?}"
    );
    Done::saw(format!("Site {SITE} until {}: {}", text(token, "expires"), entitlements.join(", ")))
}

/// A host script names the host, the Site's name server resolves it, and a page arrives; by SOCKS and by port forward.
pub fn fetch_through_gateway(world: &mut World) -> Result<Done> {
    let before = Instant::now();
    let page = world.user("ana")?.fetch(WIKI.name, 8080)?;
    let took = before.elapsed();
    ensure!(page == "hello from wiki.demo.internal", "the wiki answered `{page}`");
    let address = world.place.address(WIKI.number).to_string();
    let by_address = world.user("ana")?.fetch(&address, 8080).context("by address")?;
    ensure!(by_address == page, "by address `{by_address}` came");
    let forwarded =
        TcpStream::connect((world.place.address(ANA), FORWARDED)).context("cannot reach the port forward")?;
    ensure!(socks::get_hello(forwarded).context("by port forward")? == page, "another page came by port forward");
    let names = world.server("names")?.log_text()?;
    ensure!(names.contains(WIKI.name), "the name server was not asked for the wiki");
    Done::measured(took, "host script answered, name resolved, page arrived by name, by address and by port forward")
}

/// Another port of the same host stays shut.
pub fn port_refused(world: &mut World) -> Result<Done> {
    let open = TcpStream::connect((world.place.address(WIKI.number), 8081));
    ensure!(open.is_ok(), "nobody serves the port, so a refusal would show nothing");
    require_refused(world, WIKI.name, 8081)
}

/// Another host on the same network stays shut, by name and by address.
pub fn host_refused(world: &mut World) -> Result<Done> {
    let address = world.place.address(VAULT.number).to_string();
    require_refused(world, &address, 8080).context("by address")?;
    require_refused(world, VAULT.name, 8080)
}

fn require_refused(world: &mut World, host: &str, port: u16) -> Result<Done> {
    let ana = world.user("ana")?;
    let before = Instant::now();
    match socks::connect(ana.socks(), host, port, socks::PATIENCE) {
        Err(ConnectError::Refused(Reply::NOT_ALLOWED)) => {}
        Err(other) => bail!("{host}:{port} was not refused by rule: {other}"),
        Ok(_) => bail!("{host}:{port} was let through"),
    }
    let took = before.elapsed();
    let status = ana.status()?;
    let denied = events(&status, "denied");
    let told = denied.iter().rev().find(|event| text(event, "message").contains(&format!("{host}:{port}")));
    let told = told.with_context(|| format!("ana was not told about {host}:{port}"))?;
    Done::measured(took, format!("ana reads: {}", text(told, "message")))
}

fn token<'a>(status: &'a Value, kind: &str) -> Result<&'a Value> {
    let tokens = status.get("tokens").and_then(Value::as_array).context("the status has no tokens")?;
    tokens.iter().find(|token| text(token, "kind") == kind).with_context(|| format!("there is no {kind} token"))
}

/// What a client said last, without the label.
fn plain(said: &str) -> String {
    let last = said.rsplit(" | ").next().unwrap_or(said);
    last.trim_start_matches("error: ").to_owned()
}

pub const ANA: u8 = 11;
const BEN: u8 = 12;
const CARL: u8 = 13;
const DORA: u8 = 14;

/// Local port that is forwarded to the wiki.
const FORWARDED: u16 = 8000;

/// How long a client may take to find out that it is refused.
const REFUSAL: Duration = Duration::from_secs(20);
