//! Revocations at once and with a delay, and a stolen token.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    super::{
        admin::{complaint, text},
        place::{HELPDESK, WIKI},
        report::{Done, text as time_text},
        user::events,
        wait::{self, Seen},
        world::{Delayed, World},
    },
    access,
};

/// Ana is revoked by her name with delay 0: her download is reset, nothing opens any more, and only a new sign-in gets
/// her back.
pub fn at_once(world: &mut World) -> Result<Done> {
    let download = world.user("ana")?.download(WIKI.name, 8080)?;
    let asked = Instant::now();
    world.admin.ctl(&["revoke", "CN=ana,OU=local", "--delay", "0", "--reason", "laptop lost"])?;
    let cut = download.require_cut(SOON)?;
    let ana = world.user("ana")?;
    ana.wait_status("a revoked session", AGAIN, |status| text(status, "state") == "must-sign-in")?;
    ensure!(ana.fetch(WIKI.name, 8080).is_err(), "a revoked session still opens connections");
    ensure!(ana.renew().is_err(), "a revoked session was renewed");
    world.users.remove("ana");
    let mut ana = world.start_client("ana", access::ANA, None)?;
    ana.wait_connected().context("signing in again")?;
    ana.fetch(WIKI.name, 8080).context("after signing in again")?;
    world.users.insert("ana", ana);
    Done::measured(
        cut.last_byte.saturating_duration_since(asked),
        "download reset, renewal refused; access is back only after ana signed in again",
    )
}

/// Ben is revoked with a delay of a minute: he is told at once, and his download goes on.
pub fn with_delay(world: &mut World) -> Result<Done> {
    let download = world.user("ben")?.download(HELPDESK.name, 8080)?;
    let before = Instant::now();
    world.admin.ctl(&["revoke", "CN=ben,OU=local", "--delay", "1", "--reason", "contract ends"])?;
    let asked = (before, Instant::now());
    let status =
        world.user("ben")?.wait_status("a told user", AGAIN, |status| !events(status, "end-announced").is_empty())?;
    let told =
        events(&status, "end-announced").first().map(|event| text(event, "message").to_owned()).unwrap_or_default();
    download.require_flowing(SOON)?;
    world.delayed = Some(Delayed { download, asked });
    Done::saw(format!("download goes on; ben reads: {told}"))
}

/// Dora's entitlement tokens are revoked with a delay of a minute in the middle of a long download: her client fetches new
/// ones at once, by itself, and once more when told to.
pub fn renewed_in_time(world: &mut World) -> Result<Done> {
    let download = world.user("dora")?.download(WIKI.name, 8080)?;
    let first = token(&world.user("dora")?.status()?)?;
    let asked = Instant::now();
    let revoke = ["revoke", "CN=dora,OU=local", "--delay", "1", "--type", "Entitlement", "--reason", "new policies"];
    world.admin.ctl(&revoke)?;
    let is_new = |status: &Value| token(status).is_ok_and(|held| held != first);
    let status = world.user("dora")?.wait_status("new tokens", AGAIN, is_new)?;
    let took = asked.elapsed();
    ensure!(!events(&status, "end-announced").is_empty(), "dora was not told");
    world.user("dora")?.renew()?;
    ensure!(token(&world.user("dora")?.status()?)? != token(&status)?, "the renewal brought no new token");
    download.require_flowing(SOON)?;
    world.renewed = Some((download, asked));
    Done::measured(
        took,
        "dora has other tokens without having done anything, renews once more, and her download goes on",
    )
}

/// The minute after which Dora's first tokens died is over, and her download noticed none of it.
pub fn outlived(world: &mut World) -> Result<Done> {
    let (download, asked) = world.renewed.take().context("no tokens were revoked under a download")?;
    let due = (asked + DELAY + LATE).saturating_duration_since(Instant::now());
    download.require_alive_for(due).context("with newer tokens")?;
    let progress = download.require_flowing(SOON)?;
    ensure!(progress.longest_gap < SOON / 2, "it stopped for {}", time_text(progress.longest_gap));
    Done::saw(format!(
        "the first tokens are dead since {}; the download of {} chunks never stopped (longest pause {})",
        time_text(asked.elapsed().saturating_sub(DELAY)),
        progress.chunks,
        time_text(progress.longest_gap)
    ))
}

/// The entitlement token a client holds.
fn token(status: &Value) -> Result<String> {
    let tokens = status.get("tokens").and_then(Value::as_array).context("the status tells no tokens")?;
    let entitlement = tokens.iter().find(|token| text(token, "kind") == "Entitlement");
    entitlement.map(|token| text(token, "id").to_owned()).context("there is no entitlement token")
}

/// The minute is over: the download went on until then, and ends then.
pub fn delay_due(world: &mut World) -> Result<Done> {
    let Delayed { download, asked: (before, answered) } =
        world.delayed.take().context("no delayed revocation is under way")?;
    let almost = before + DELAY.saturating_sub(SOON / 2);
    download.require_alive_for(almost.saturating_duration_since(Instant::now())).context("before it was due")?;
    let cut = download.require_cut(SOON)?;
    let (least, most) =
        (cut.last_byte.saturating_duration_since(answered), cut.last_byte.saturating_duration_since(before));
    ensure!(
        most + EARLY >= DELAY,
        "the download ended {:.1} s after the revocation, before it was due",
        most.as_secs_f64()
    );
    ensure!(least <= DELAY + LATE, "the download ended {:.1} s after the revocation, too late", least.as_secs_f64());
    let status =
        world.user("ben")?.wait_status("a signed-out ben", AGAIN, |status| text(status, "state") == "must-sign-in")?;
    Done::measured(
        most,
        format!(
            "ben's download of {} chunks lived until it was due and was reset; state {}",
            cut.chunks,
            text(&status, "state")
        ),
    )
}

/// A thief has Ana's tokens and Ben's key: the gateway refuses them, and says why in the audit log.
pub fn stolen_token(world: &mut World) -> Result<Done> {
    let mut command = Command::new(&world.thief);
    command.arg(world.place.path("profile.txt"));
    for user in ["ana", "dora"] {
        command.arg(user).arg(world.place.password_file(user));
    }
    let output = command.stdin(Stdio::null()).output().context("cannot run the thief")?;
    ensure!(output.status.success(), "the thief failed: {}", complaint(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).context("the thief printed no JSON")?;
    ensure!(
        seen.get("ownConnection").and_then(Value::as_str) == Some("admitted"),
        "the tokens do not even work on their own connection: {seen}"
    );
    let code = seen.pointer("/stolen/code").and_then(Value::as_str).context("the stolen tokens were not refused")?;
    let message = seen.pointer("/stolen/message").and_then(Value::as_str).unwrap_or_default();
    let reason = wait::until("the refusal in the audit log", AGAIN, || {
        let records = world.admin.records("entitlement_token_not_accepted")?;
        let reason = records.first().map(|record| text(record, "reason").to_owned());
        Ok(reason.map_or(Seen::NotYet("no record".to_owned()), Seen::Yes))
    })?;
    Done::saw(format!("refused ({code}: {message}); the audit log says {reason}"))
}

/// The delay asked for.
const DELAY: Duration = Duration::from_secs(60);

/// The chunk before the last byte may be this much older than the cut.
const EARLY: Duration = Duration::from_millis(500);

/// From due to the last byte, on a slow machine.
const LATE: Duration = Duration::from_secs(2);

const SOON: Duration = Duration::from_secs(10);

/// For what a client or gateway does by itself.
const AGAIN: Duration = Duration::from_secs(20);
