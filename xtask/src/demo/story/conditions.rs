//! Conditions and rules that change while access is used.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use totp_rs::TOTP;

use super::super::{
    admin::{text, texts},
    download::Download,
    place::{BUILDS, PRODUCTION, write_private},
    report::{Done, text as time_text},
    socks,
    user::{User, flows},
    world::World,
};

/// Ana is not on call: the connection waits. An administrator puts her on call, her client renews, and it goes through.
pub fn held_until_true(world: &mut World) -> Result<Done> {
    let proxy = world.user("ana")?.socks();
    let waiting = thread::spawn(move || {
        let stream = socks::connect(proxy, PRODUCTION.name, 8080, HOLD)?;
        let opened = Instant::now();
        socks::get_hello(stream).map(|page| (opened, page))
    });
    let status = world.user("ana")?.wait_status("a held connection", SOON, |status| {
        !flows(status, "held").is_empty() && status.pointer(UNMET).is_some()
    })?;
    let told = status.pointer(UNMET).and_then(Value::as_str).unwrap_or_default();
    ensure!(told.contains("Ask the duty manager"), "ana was not told what to do: {told}");
    ensure!(!waiting.is_finished(), "the connection did not wait");
    world.admin.edit("LocalUser", "local-users", "ana", |ana| add_tag(ana, "on-call"))?;
    let renewed = Instant::now();
    world.user("ana")?.renew()?;
    let Ok(outcome) = waiting.join() else { bail!("the waiting connection broke the demo") };
    let (opened, page) = outcome.context("the held connection did not go through")?;
    ensure!(page.ends_with(PRODUCTION.name), "production answered `{page}`");
    Done::measured(
        opened.saturating_duration_since(renewed),
        format!("held (ana reads: {told}); open after she was put on call and renewed"),
    )
}

/// The condition is edited to be never true: the live download is reset.
pub fn edit_cuts(world: &mut World) -> Result<Done> {
    let download = world.user("ana")?.download(PRODUCTION.name, 8080)?;
    let before = world.admin.object("Condition", CONDITION)?;
    let asked = Instant::now();
    world
        .admin
        .edit("Condition", "conditions", CONDITION, |condition| set(condition, "expression", "return false;"))?;
    let cut = download.require_cut(SOON)?;
    let expression = text(&before, "expression").to_owned();
    world.admin.edit("Condition", "conditions", CONDITION, |condition| set(condition, "expression", &expression))?;
    world.user("ana")?.fetch(PRODUCTION.name, 8080).context("after the condition was put back")?;
    Done::measured(
        cut.last_byte.saturating_duration_since(asked),
        format!("live download reset after {} chunks; passes again with the old condition", cut.chunks),
    )
}

/// The condition now wants a reason: the download waits, ana is asked, answers, and it goes on; her words are on record.
pub fn reason_asked(world: &mut World) -> Result<Done> {
    let reason = json!({ "type": "Reason", "message": "What for?", "claimSuffix": "production" });
    let took = held_until_answered(world, "hasReason", reason, |user| user.answer(CONDITION, &["--reason", REASON]))?;
    let record = world.admin.record_of("remedy_answered", "ana")?.context("the audit log has no answer of ana")?;
    ensure!(text(&record, "reason") == REASON, "the audit log has another reason: {record}");
    Done::measured(took, format!("download held until ana gave a reason; the audit log has `{REASON}`"))
}

/// The condition now wants a one-time code: the download waits, ana sets up her app from what she is shown, a wrong code is
/// refused, the right one lets it go on.
pub fn code_asked(world: &mut World) -> Result<Done> {
    let code = json!({
        "type": "OtpAuthentication", "message": "Show that it is you.", "claimSuffix": "production",
        "providerId": ONE_TIME_CODES,
    });
    let file = world.place.path("code");
    let took = held_until_answered(world, "hasOtp", code, |user| {
        let app = TOTP::from_url_unchecked(user.enrol(CONDITION)?).context("no app would take what ana is shown")?;
        let code = app.generate_current().context("the clock stands before 1970")?;
        let wrong = if code == "000000" { "000001" } else { "000000" };
        let give = |code: &str| -> Result<()> {
            write_private(&file, code)?;
            user.answer(CONDITION, &["--code-file", &file.display().to_string()])
        };
        ensure!(give(wrong).is_err(), "a wrong code was accepted");
        give(&code)
    })?;
    let seeds = world.admin.ctl(&["api", "GET", "/otp/seeds"])?;
    ensure!(
        seeds.pointer("/data/0/verified").and_then(Value::as_bool) == Some(true),
        "the administrator does not see that ana's app is set up: {seeds}"
    );
    Done::measured(took, "download held; ana set up an app, a wrong code was refused, the right one opened it")
}

/// Has the condition ask for something: a download waits, ana is asked, answers, and it goes on. Tells how long that took from
/// the answer to the first bytes; then everything is as before.
fn held_until_answered(
    world: &mut World,
    helper: &str,
    remedy: Value,
    answer: impl FnOnce(&mut User) -> Result<()>,
) -> Result<Duration> {
    let before = world.admin.object("Condition", CONDITION)?;
    world.admin.edit("Condition", "conditions", CONDITION, |condition| {
        set(condition, "expression", &format!("return claims.user.{helper}('production', 5);"));
        if let Some(condition) = condition.as_object_mut() {
            condition.insert("remedyMethods".to_owned(), json!([remedy]));
        }
    })?;
    let proxy = world.user("ana")?.socks();
    let waiting = thread::spawn(move || {
        let download = Download::start_patiently(proxy, PRODUCTION.name, 8080, HOLD)?;
        anyhow::Ok((Instant::now(), download))
    });
    let ana = world.user("ana")?;
    ana.wait_status("a question", SOON, |status| !flows(status, "held").is_empty() && status.pointer(ASKED).is_some())?;
    ensure!(!waiting.is_finished(), "the download did not wait");
    answer(ana)?;
    let answered = Instant::now();
    let Ok(outcome) = waiting.join() else { bail!("the waiting download broke the demo") };
    let (opened, download) = outcome.context("the held download did not go on")?;
    download.require_flowing(SOON)?;
    let id = text(&before, "id").to_owned();
    world.admin.ctl(&["api", "PUT", &format!("/conditions/{id}"), "--body", &before.to_string()])?;
    world.user("ana")?.fetch(PRODUCTION.name, 8080).context("after the condition was put back")?;
    Ok(opened.saturating_duration_since(answered))
}

/// A range of ports is allowed. One port of it gets blocked: its download is reset, the one beside it goes on.
pub fn narrower_block_cuts(world: &mut World) -> Result<Done> {
    let (blocked, beside): (Download, Download) = {
        let ana = world.user("ana")?;
        (ana.download(BUILDS.name, 8085)?, ana.download(BUILDS.name, 8086)?)
    };
    let asked = Instant::now();
    world.admin.edit("Entitlement", "entitlements", "Build farm", |entitlement| {
        let block = json!({ "action": "block", "subtype": "tcp_up", "hosts": [BUILDS.name], "ports": ["8085"] });
        if let Some(actions) = entitlement.get_mut("actions").and_then(Value::as_array_mut) {
            actions.push(block);
        }
    })?;
    let cut = blocked.require_cut(SOON)?;
    let progress = beside.require_flowing(SOON).context("the port beside it")?;
    Done::measured(
        cut.last_byte.saturating_duration_since(asked),
        format!(
            "download from port 8085 reset; the one from 8086 goes on, longest pause {}",
            time_text(progress.longest_gap)
        ),
    )
}

fn add_tag(user: &mut Value, tag: &str) {
    let mut tags: Vec<String> = texts(user, "tags").into_iter().map(str::to_owned).collect();
    tags.push(tag.to_owned());
    if let Some(user) = user.as_object_mut() {
        user.insert("tags".to_owned(), json!(tags));
    }
}

fn set(object: &mut Value, member: &str, value: &str) {
    if let Some(object) = object.as_object_mut() {
        object.insert(member.to_owned(), json!(value));
    }
}

/// What a client's status says about the first condition that is false.
const UNMET: &str = "/sites/0/unmet/0/message";

/// What a client's status says the first false condition asks for.
const ASKED: &str = "/sites/0/unmet/0/remedies/0/message";

const CONDITION: &str = "On call";

/// The built-in provider of one-time codes.
const ONE_TIME_CODES: &str = "03542d1e-733c-4c43-a567-d28fbc4649a7";

const REASON: &str = "ticket 42: restart of the queue";

/// Gateways hold a connection for a minute.
const HOLD: Duration = Duration::from_secs(60);

const SOON: Duration = Duration::from_secs(10);
