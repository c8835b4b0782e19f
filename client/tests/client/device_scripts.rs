//! Device scripts as real processes: what they may do, what ends them, and what becomes of what they print.

use std::{fs, time::Duration};

use client::{ClientConfig, ClientEvent, DeviceScriptMode};
use tokio::time::Instant;

use crate::{
    user::User,
    world::{PATIENCE, World},
};

/// Looks every second and gives scripts two.
fn hasty(config: &mut ClientConfig) {
    config.device_scripts.limit = Duration::from_secs(2);
    config.device_scripts.interval = Duration::from_secs(1);
}

/// Looks once, and gives scripts a second.
fn once(config: &mut ClientConfig) {
    config.device_scripts.limit = Duration::from_secs(1);
}

/// Why a claim has no value, by the client's status.
async fn problem(user: &User, claim: &str) -> String {
    let status = user.status().await;
    let row = status.device_claims.into_iter().find(|row| row.claim == claim).unwrap();
    row.problem.unwrap_or_default()
}

/// Waits until no process has the word in its command line.
async fn nothing_runs_with(word: &str) {
    let deadline = Instant::now() + PATIENCE;
    while let Some(line) = running_with(word) {
        assert!(Instant::now() < deadline, "still runs: {line}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn running_with(word: &str) -> Option<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.find_map(|line| {
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(word).then_some(line)
    })
}

/// A number of seconds to sleep that no other process on the machine sleeps.
fn mark() -> String {
    format!("{}.{}", 86_000 + u32::from(rand::random::<u8>()), rand::random::<u32>())
}

#[tokio::test]
async fn what_a_script_prints_is_a_claim_and_a_change_starts_a_renewal() {
    let world = World::start(&[1]);
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    fs::write(&disk, "encrypted\n").unwrap();
    let checksum = world.add_script("disk", &format!("#!/bin/sh\ncat {}\n", disk.display()));
    let user = User::start(&world, 1, hasty).await;
    world.reported("disk", Some("encrypted")).await;
    world.logged(&format!("download {checksum}"), 1).await;
    fs::write(&disk, "open").unwrap();
    world.reported("disk", Some("open")).await;
    world.logged("present again site-1-token", 1).await;
    fs::remove_file(&disk).unwrap();
    world.reported("disk", None).await;
    assert_eq!(problem(&user, "disk").await, "the script failed with exit code 1");
    assert_eq!(world.lines("download"), 1, "the file is kept");
    assert_eq!(world.lines("authenticate"), 1);
}

#[tokio::test]
async fn a_script_sees_its_arguments_and_little_else() {
    let world = World::start(&[1]);
    let script = "printf '%s|' \"$@\"; env | cut -d= -f1 | grep -v -x -e HOME -e USER -e LOGNAME | sort | tr '\\n' ' '; \
                  echo; ls -l /proc/self/fd | wc -l; cat";
    world.add_script("seen", script);
    let _user = User::start(&world, 1, once).await;
    world.logged("report", 1).await;
    let seen = world.shared.reported.borrow()["seen"].as_str().unwrap().to_owned();
    let lines: Vec<&str> = seen.lines().collect();
    // PWD and such are the shell's own.
    assert_eq!(
        lines[0].replace("OLDPWD ", "").replace("PWD ", "").replace("SHLVL ", "").replace("_ ", ""),
        "one|two words|LANG PATH "
    );
    assert_eq!(lines[1].trim(), "5", "the standard three, the listing's own, and a line that counts");
}

#[tokio::test]
async fn bad_scripts_cost_their_own_claim_and_leave_nothing_behind() {
    let world = World::start(&[1]);
    let sleep = mark();
    let cases = [
        ("hangs", format!("sleep {sleep}"), "longer than 1000 ms"),
        ("ignores", format!("trap '' TERM INT HUP; while :; do sleep {sleep}; done"), "longer than 1000 ms"),
        ("escapes", format!("setsid sh -c 'setsid sleep {sleep} & sleep {sleep}' & echo early; exit 0"), ""),
        ("orphans", format!("(setsid sleep {sleep} > /dev/null 2>&1 &) ; sleep {sleep}"), "longer than 1000 ms"),
        (
            "forks",
            format!("f() {{ sleep {sleep} & }}; i=0; while [ $i -lt 200 ]; do f; i=$((i+1)); done; wait"),
            "longer than",
        ),
        ("floods", "yes".to_owned(), "more than 16384 bytes"),
        ("binary", "printf '\\377\\376'".to_owned(), "no text"),
        ("control", "printf 'a\\000b'".to_owned(), "no text"),
        ("fails", "echo good; exit 3".to_owned(), "exit code 3"),
        ("kills-itself", "kill -9 $$".to_owned(), "signal 9"),
        ("kills-runner", "kill -9 $PPID; sleep 1; echo good".to_owned(), "the process that runs scripts failed"),
        ("foreign", "#!/no/such/interpreter".to_owned(), "could not be started"),
        ("fine", "echo fine".to_owned(), ""),
    ];
    for (claim, script, _) in &cases {
        world.add_script(claim, script);
    }
    let user = User::start(&world, 1, once).await;
    let reported = world.shared.reported.borrow().clone();
    for (claim, _, expected) in &cases {
        let problem = problem(&user, claim).await;
        assert!(problem.contains(expected), "{claim}: {problem}");
        assert_eq!(reported.contains_key(*claim), expected.is_empty(), "{claim}: {problem}");
    }
    assert_eq!((&reported["fine"], &reported["escapes"]), (&"fine".into(), &"early".into()));
    nothing_runs_with(&sleep).await;
}

#[tokio::test]
async fn what_a_script_started_ends_with_the_client() {
    let world = World::start(&[1]);
    let sleep = mark();
    world.add_script("slow", &format!("setsid sleep {sleep} & sleep {sleep}"));
    let mut user = User::launch(&world, |config| config.device_scripts.limit = Duration::from_secs(60));
    let deadline = Instant::now() + PATIENCE;
    while running_with(&format!("sleep {sleep}")).is_none() {
        assert!(Instant::now() < deadline, "the script never runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    user.stop().await.unwrap();
    nothing_runs_with(&sleep).await;
}

#[tokio::test]
async fn a_script_that_changes_all_the_time_is_told_and_does_not_renew_all_the_time() {
    let world = World::start(&[1]);
    world.add_script("clock", "date +%s%N");
    let mut user = User::start(&world, 1, hasty).await;
    let ClientEvent::DeviceClaimRestless { claim } = user.event("device-claim-restless").await else {
        panic!("not told")
    };
    assert_eq!(claim, "clock");
    let status = user.status_when(|status| status.device_claims.iter().any(|row| row.restless)).await;
    assert_eq!(status.device_claims[0].problem, None);
    let before = world.lines("renew");
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(world.lines("renew") <= before + 1, "some four looks, and at most one renewal in six");
}

#[tokio::test]
async fn a_file_that_was_tampered_with_is_not_run_and_fetched_again() {
    let world = World::start(&[1]);
    let checksum = world.add_script("disk", "echo encrypted");
    let user = User::start(&world, 1, hasty).await;
    world.reported("disk", Some("encrypted")).await;
    let file = user.dir.path().join("device-scripts").join(&checksum);
    let forged = user.dir.path().join("forged");
    fs::write(&forged, "echo forged").unwrap();
    fs::rename(&forged, &file).unwrap();
    world.logged("download", 2).await;
    world.logged("present again", 1).await;
    world.reported("disk", Some("encrypted")).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "echo encrypted");
}

#[tokio::test]
async fn a_controller_that_sends_another_file_gets_nothing_run() {
    let world = World::start(&[1]);
    let checksum = world.add_script("disk", "echo encrypted");
    let dir = tempfile::tempdir().unwrap();
    let proof = dir.path().join("ran");
    let other = format!("touch {}", proof.display()).into_bytes();
    world.shared.files.lock().unwrap().insert(checksum, other);
    let user = User::start(&world, 1, once).await;
    assert!(problem(&user, "disk").await.contains("the controller sent another file"));
    assert!(!proof.exists());
}

#[tokio::test]
async fn a_new_list_takes_effect_with_the_next_renewal() {
    let world = World::start(&[1]);
    let first = world.add_script("disk", "echo one");
    let user = User::start(&world, 1, once).await;
    world.reported("disk", Some("one")).await;
    let second = world.add_script("disk", "echo two");
    client::renew(user.dir.path()).await.unwrap();
    world.reported("disk", Some("two")).await;
    let kept = |checksum: &str| user.dir.path().join("device-scripts").join(checksum).exists();
    assert!(kept(&second) && !kept(&first), "what is not asked for any more goes");
    world.shared.on_demand.lock().unwrap().clear();
    client::renew(user.dir.path()).await.unwrap();
    world.reported("disk", None).await;
}

#[tokio::test]
async fn scripts_that_are_switched_off_are_neither_fetched_nor_run() {
    let world = World::start(&[1]);
    world.add_script("disk", "echo encrypted");
    let user = User::start(&world, 1, |config| config.device_scripts.mode = DeviceScriptMode::Never).await;
    assert_eq!(problem(&user, "disk").await, "device scripts are switched off on this device");
    assert_eq!(world.lines("download"), 0);
    if rustix::process::geteuid().is_root() {
        let user = User::start(&world, 1, |config| config.device_scripts.mode = DeviceScriptMode::AsUser).await;
        assert!(problem(&user, "disk").await.contains("while the client runs as root"));
    }
    assert_eq!(world.lines("download"), 0);
}
