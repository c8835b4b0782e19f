//! What happens when things break: the controller dies, a script never ends.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;

use super::{
    super::{
        admin::{Admin, text},
        place::{RUNAWAY, WIKI},
        report::{Done, text as time_text},
        socks::{self, ConnectError},
        user::{User, events},
        wait::{self, Seen},
        world::World,
    },
    house,
};

/// The controller is killed while it takes writes and a download runs. The download never stops, new connections work
/// while it is away, and everything it acknowledged is there afterwards.
pub fn controller_killed(world: &mut World) -> Result<Done> {
    let download = world.user("dora")?.download(WIKI.name, 8080)?;
    let admin = world.admin.clone();
    let (enough, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let acknowledged = thread::scope(|scope| -> Result<Vec<String>> {
        let write = |writer: usize| write_until_refused(&admin, writer, &enough, &over);
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let killed = wait::until("a few acknowledged writes", SLOW, || {
            Ok(Seen::when(enough.load(Ordering::Relaxed) >= WRITES_BEFORE, || {
                format!("{} so far", enough.load(Ordering::Relaxed))
            }))
        });
        let killed = killed.and_then(|()| world.server("controller")?.kill());
        over.store(true, Ordering::Relaxed);
        let written = writers.into_iter().flat_map(|writer| writer.join().unwrap_or_default()).collect();
        killed.map(|()| written)
    })?;
    download.require_flowing(SOON).context("with the controller dead")?;
    let page = world.user("dora")?.fetch(WIKI.name, 8080).context("a new connection with the controller dead")?;
    ensure!(page.ends_with(WIKI.name), "the wiki answered `{page}`");
    let restart = Instant::now();
    house::launch_controller(world)?;
    let back = restart.elapsed();
    let missing: Vec<&String> = acknowledged.iter().filter(|name| world.admin.object("Site", name).is_err()).collect();
    ensure!(missing.is_empty(), "acknowledged and gone: {missing:?}");
    wait::until("a renewal after the restart", SLOW, || {
        Ok(world.user("dora")?.renew().map_or_else(|error| Seen::NotYet(error.to_string()), Seen::Yes))
    })?;
    let progress = download.require_flowing(SOON).context("after the restart")?;
    Done::measured(
        back,
        format!(
            "SIGKILL and restart; the download never stopped (longest pause {}), {} acknowledged writes are there",
            time_text(progress.longest_gap),
            acknowledged.len(),
        ),
    )
}

/// Controller and gateway die together, and only the gateway comes back: the clients are there again by themselves, with the
/// tokens they have, and new connections are admitted without anybody to ask.
pub fn gateway_killed(world: &mut World) -> Result<Done> {
    let download = world.user("dora")?.download(WIKI.name, 8080)?;
    world.server("controller")?.kill()?;
    world.server("gateway")?.kill()?;
    let killed = Instant::now();
    download.require_cut(SLOW).context("with its gateway dead")?;
    house::launch_gateway(world, None)?;
    let started = Instant::now();
    let dora = world.user("dora")?;
    let page = wait::until("a page without being told to reconnect", SLOW, || {
        Ok(dora.fetch(WIKI.name, 8080).map_or_else(|error| Seen::NotYet(format!("{error:#}")), Seen::Yes))
    })?;
    let back = started.elapsed();
    ensure!(page.ends_with(WIKI.name), "the wiki answered `{page}`");
    house::launch_controller(world)?;
    wait::until("a renewal after the restart", SLOW, || {
        Ok(world.user("dora")?.renew().map_or_else(|error| Seen::NotYet(error.to_string()), Seen::Yes))
    })?;
    Done::measured(
        back,
        format!(
            "SIGKILL of both; {} later the gateway was back, and dora in again without a controller",
            time_text(started.saturating_duration_since(killed))
        ),
    )
}

/// Creates objects until the controller is gone, and answers the names of those that were acknowledged.
fn write_until_refused(admin: &Admin, writer: usize, enough: &AtomicUsize, over: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for number in 0..MOST_WRITES {
        let name = format!("crash {writer}.{number}");
        if over.load(Ordering::Relaxed)
            || admin.ctl(&["api", "POST", "/sites", "--body", &json!({ "name": name }).to_string()]).is_err()
        {
            break;
        }
        acknowledged.push(name);
        enough.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Conditions whose scripts never end: one uses up its instructions, one is killed at its deadline. What they guard is
/// denied in time, and Dora notices nothing.
pub fn endless_script(world: &mut World) -> Result<Done> {
    let quiet = latencies(world.user("dora")?, |done| done >= FETCHES)?;
    let proxy = world.user("ana")?.socks();
    let attempts: Vec<_> = RUNAWAY.ports.iter().map(|port| thread::spawn(move || attempt(proxy, *port))).collect();
    let over = || attempts.iter().all(thread::JoinHandle::is_finished);
    let busy = latencies(world.user("dora")?, |done| done >= FETCHES && over())?;
    let mut slowest = Duration::ZERO;
    for attempt in attempts {
        let Ok(took) = attempt.join() else { bail!("an attempt broke the demo") };
        slowest = slowest.max(took?);
    }
    ensure!(slowest <= DEADLINE, "the denial took {}", time_text(slowest));
    ensure!(
        busy.worst <= quiet.worst + SLACK,
        "dora waited {} where she had waited {}",
        time_text(busy.worst),
        time_text(quiet.worst)
    );
    let status = world.user("ana")?.status()?;
    let told: Vec<&str> = events(&status, "denied").into_iter().map(|event| text(event, "message")).collect();
    for condition in ["Runaway loop", "Runaway pattern"] {
        ensure!(told.iter().any(|said| said.contains(condition)), "ana was not told that {condition} failed: {told:?}");
    }
    Done::measured(
        slowest,
        format!(
            "an endless loop and an endless pattern end in denials; dora's {} fetches meanwhile: {} in the middle, {} at \
             most (before: {}, {})",
            busy.count,
            time_text(busy.median),
            time_text(busy.worst),
            time_text(quiet.median),
            time_text(quiet.worst),
        ),
    )
}

/// Tries a connection that must be denied, and answers how long that took.
fn attempt(proxy: SocketAddr, port: u16) -> Result<Duration> {
    let before = Instant::now();
    match socks::connect(proxy, RUNAWAY.name, port, HOLD) {
        Err(ConnectError::Refused(_)) => Ok(before.elapsed()),
        Err(ConnectError::Io(error)) => bail!("an attempt got no answer: {error}"),
        Ok(_) => bail!("a condition that never ends let somebody in"),
    }
}

struct Latencies {
    count: usize,
    median: Duration,
    worst: Duration,
}

fn latencies(user: &User, enough: impl Fn(usize) -> bool) -> Result<Latencies> {
    let mut times = Vec::new();
    while !enough(times.len()) {
        let before = Instant::now();
        user.fetch(WIKI.name, 8080)?;
        times.push(before.elapsed());
    }
    times.sort_unstable();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    Ok(Latencies { count: times.len(), median: at(times.len() / 2), worst: at(times.len().saturating_sub(1)) })
}

const WRITERS: usize = 3;
const WRITES_BEFORE: usize = 9;

/// A writer that nobody stops still ends.
const MOST_WRITES: usize = 200;

const FETCHES: usize = 30;

/// A run may take 5 s of wall time, the answer a little more.
const DEADLINE: Duration = Duration::from_secs(6);

/// What the scheduler of a busy machine may add to one fetch.
const SLACK: Duration = Duration::from_millis(250);

/// Gateways hold a connection for a minute.
const HOLD: Duration = Duration::from_secs(60);

const SOON: Duration = Duration::from_secs(10);
const SLOW: Duration = Duration::from_secs(30);
