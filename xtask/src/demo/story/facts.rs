//! Access that follows facts elsewhere: groups of a directory, a ticket, the clock, an address.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    super::{
        admin::{text, texts},
        place::{self, HELPDESK, LAB, NEW_LAB, TICKETS},
        report::{Done, text as time_text},
        wait::{self, Seen},
        world::World,
    },
    house::{self, SITE},
};

/// A user-claim script asks the directory for Dora's groups over HTTP; a policy grants the lab to one of them.
pub fn groups_over_http(world: &mut World) -> Result<Done> {
    state(world, "groups", "[\"lab\"]")?;
    state(world, "ticket", OPEN)?;
    let ticket = format!(
        "var ticket = httpGet('{}');\nreturn ticket.statusCode === 200 && ticket.data === '{OPEN}';",
        url(world, "ticket")
    );
    let condition = create(world, "conditions", json!({ "name": CONDITION, "expression": ticket }))?;
    let site = id(&world.admin.object("Site", SITE)?)?;
    let action = json!({ "action": "allow", "subtype": "tcp_up", "hosts": [LAB.name], "ports": ["8080"] });
    let entitlement = json!({ "name": "Lab", "site": site, "conditions": [id(&condition)?], "actions": [action] });
    let entitlement = create(world, "entitlements", entitlement)?;
    let member = "var scripted = claims.user.agScripted || {};\nreturn (scripted.groups || []).indexOf('lab') >= 0;";
    create(world, "policies", json!({ "name": "Lab", "expression": member, "entitlements": [id(&entitlement)?] }))?;
    world.user("dora")?.renew()?;
    ensure!(world.user("dora")?.fetch(LAB.name, 8080).is_err(), "the lab was open before anybody asked for groups");

    let groups =
        format!("var answer = httpGet('{}');\nreturn {{ groups: JSON.parse(answer.data) }};", url(world, "groups"));
    let script = id(&create(world, "user-scripts", json!({ "name": "directoryGroups", "expression": groups }))?)?;
    world.admin.edit("IdentityProvider", "identity-providers", "local", |provider| {
        if let Some(provider) = provider.as_object_mut() {
            provider.insert("userScripts".to_owned(), json!([script]));
        }
    })?;
    world.user("dora")?.renew()?;
    // The gateway looks the lab's name up first.
    let page = wait::until("the lab's page", SOON, || {
        let page = world.user("dora")?.fetch(LAB.name, 8080);
        Ok(page.map_or_else(|error| Seen::NotYet(format!("{error:#}")), Seen::Yes))
    })?;
    ensure!(page.ends_with(LAB.name), "the lab answered `{page}`");
    Done::saw("the directory answered [\"lab\"] over HTTP; the policy that asks for it granted the lab")
}

/// A device script says how healthy Dora's device is. What it says changes: her client fetches new tokens by itself, and the
/// access that hangs on it is cut.
pub fn device_script_followed(world: &mut World) -> Result<Done> {
    state(world, "posture", "good")?;
    create(world, "device-scripts", json!({ "name": "posture", "filename": "posture.sh", "file": PRINT_A_FILE }))?;
    let fact = world.place.facts().join("posture");
    let mapping = json!({
        "command": "runScript", "claimName": "posture", "platform": "desktop.linux.all",
        "parameters": { "name": "posture", "args": format!("'{}'", fact.display()) },
    });
    world.admin.edit("IdentityProvider", "identity-providers", "local", |provider| {
        if let Some(provider) = provider.as_object_mut() {
            provider.insert("onDemandClaimMappings".to_owned(), json!([mapping]));
        }
    })?;
    let helpdesk = id(&world.admin.object("Entitlement", "Helpdesk")?)?;
    let healthy = "return claims.device.posture === 'good';";
    create(world, "policies", json!({ "name": "Healthy devices", "expression": healthy, "entitlements": [helpdesk] }))?;
    world.user("dora")?.renew()?;
    wait::until("the helpdesk's page", SOON, || {
        let page = world.user("dora")?.fetch(HELPDESK.name, 8080);
        Ok(page.map_or_else(|error| Seen::NotYet(format!("{error:#}")), Seen::Yes))
    })?;
    let download = world.user("dora")?.download(HELPDESK.name, 8080)?;
    state(world, "posture", "bad")?;
    let changed = Instant::now();
    let cut = download.require_cut(LOOKED)?;
    ensure!(world.user("dora")?.fetch(HELPDESK.name, 8080).is_err(), "an unhealthy device still gets in");
    Done::measured(
        cut.last_byte.saturating_duration_since(changed),
        "the script's value became a claim and granted access; another value, and the client renewed by itself and was cut",
    )
}

/// The ticket is closed elsewhere, which nobody here hears of; an operator calls reeval and the open connection is cut.
pub fn reevaluation_cuts(world: &mut World) -> Result<Done> {
    let download = world.user("dora")?.download(LAB.name, 8080)?;
    state(world, "ticket", "closed")?;
    download.require_flowing(SOON).context("before anybody looked again")?;
    let asked = Instant::now();
    let answer = world.admin.ctl(&["reeval", "CN=dora,OU=local"])?;
    let cut = download.require_cut(SOON)?;
    state(world, "ticket", OPEN)?;
    world.user("dora")?.fetch(LAB.name, 8080).context("after the ticket was opened again")?;
    ensure!(texts(&answer, "reevaluatedDistinguishedNames").len() == 1, "reeval reached others than dora: {answer}");
    Done::measured(
        cut.last_byte.saturating_duration_since(asked),
        "the ticket was closed elsewhere and reeval/by-dn cut the download; open again, it works again",
    )
}

/// The ticket is closed once more, and nobody calls anything: the condition has a schedule now.
pub fn schedule_set(world: &mut World) -> Result<Done> {
    world.admin.edit("Condition", "conditions", CONDITION, |condition| {
        if let Some(condition) = condition.as_object_mut() {
            condition.insert("repeatSchedules".to_owned(), json!(["1m"]));
        }
    })?;
    let download = world.user("ana")?.download(LAB.name, 8080)?;
    state(world, "ticket", "closed")?;
    world.scheduled = Some((download, Instant::now()));
    Done::saw("the ticket is closed again, and nobody is told; the condition is asked every minute")
}

/// The condition's own schedule looked at the full minute, and the download was cut.
pub fn schedule_cuts(world: &mut World) -> Result<Done> {
    let (download, closed) = world.scheduled.take().context("the schedule was not set")?;
    let cut = download.require_cut(MINUTE)?;
    let since_minute = seconds_into_the_minute(closed, cut.last_byte)?;
    ensure!(since_minute < SCHEDULE_SPREAD, "cut {} after the full minute", time_text(since_minute));
    state(world, "ticket", OPEN)?;
    world.user("ana")?.fetch(LAB.name, 8080).context("after the ticket was opened again")?;
    Done::measured(
        cut.last_byte.saturating_duration_since(closed),
        format!("the 1m schedule cut the download {} after the full minute", time_text(since_minute)),
    )
}

/// The lab gets another address; the rules follow the name without anybody doing anything.
pub fn address_moves(world: &mut World) -> Result<Done> {
    let download = world.user("dora")?.download(LAB.name, 8080)?;
    let moved = Instant::now();
    house::write_names(world, &[(LAB.name, world.place.address(NEW_LAB.number))])?;
    let cut = download.require_cut(RESOLVED)?;
    let page = world.user("dora")?.fetch(LAB.name, 8080).context("at the new address")?;
    ensure!(page.ends_with(NEW_LAB.name), "`{page}` answered at the lab's new address");
    Done::measured(
        cut.last_byte.saturating_duration_since(moved),
        "the name server answers another address: the old one is cut, the new one is open",
    )
}

fn state(world: &World, name: &str, value: &str) -> Result<()> {
    place::write_private(&world.place.facts().join(name), value)
}

fn url(world: &World, fact: &str) -> String {
    format!("http://{}/facts/{fact}", SocketAddr::new(world.place.address(TICKETS.number), 8080))
}

fn create(world: &World, path: &str, body: Value) -> Result<Value> {
    world.admin.ctl(&["api", "POST", &format!("/{path}"), "--body", &body.to_string()])
}

fn id(object: &Value) -> Result<String> {
    let id = text(object, "id");
    ensure!(!id.is_empty(), "the answer has no id: {object}");
    Ok(id.to_owned())
}

/// How far the wall clock's minute was at `moment`, which is not before `earlier`.
fn seconds_into_the_minute(earlier: Instant, moment: Instant) -> Result<Duration> {
    ensure!(moment >= earlier, "the download was cut before the ticket was closed");
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock stands before 1970")?;
    let at_moment = wall.checked_sub(moment.elapsed()).context("the clock stands before 1970")?;
    Ok(Duration::from_millis(u64::try_from(at_moment.as_millis() % 60_000).unwrap_or_default()))
}

/// `#!/bin/sh` and `cat "$1"`, in base64.
const PRINT_A_FILE: &str = "IyEvYmluL3NoCmNhdCAiJDEiCg==";

/// The demo's clients look at their devices every 2 s; a renewal by itself comes 5 s after the one before.
const LOOKED: Duration = Duration::from_secs(20);

const CONDITION: &str = "Ticket open";
const OPEN: &str = "open";

/// A minute, the spread of sessions after it, and the run itself.
const MINUTE: Duration = Duration::from_secs(70);

/// Sessions ask within 5 s after the full minute; the run takes some more.
const SCHEDULE_SPREAD: Duration = Duration::from_secs(7);

/// The Site looks its names up every 5 s.
const RESOLVED: Duration = Duration::from_secs(20);

const SOON: Duration = Duration::from_secs(10);
