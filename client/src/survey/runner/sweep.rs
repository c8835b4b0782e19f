//! Finds and kills the descendants of this process, which is the reaper of all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    process::{Pid, RawPid, Signal, Uid, WaitOptions, getpid, kill_process, wait},
};

/// Kills every descendant until there is none; false when some are left after `patience`.
///
/// One that is started while others are being killed is found in the next turn: it cannot get away from its reaper.
pub(super) fn kill_descendants(patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if bury() == Err(Errno::CHILD) {
            return true;
        }
        for pid in descendants() {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(TURN);
    }
}

/// Waits for children that have ended. The error says that there are no children at all.
fn bury() -> Result<(), Errno> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

fn descendants() -> Vec<Pid> {
    let mut children: BTreeMap<RawPid, Vec<RawPid>> = BTreeMap::new();
    for pid in processes() {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![getpid().as_raw_nonzero().get()];
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

fn processes() -> impl Iterator<Item = RawPid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fourth field of `/proc/PID/stat`. The second is a name that may hold blanks and brackets.
fn parent(pid: RawPid) -> Option<RawPid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// How many processes and threads the user has.
pub(super) fn tasks_of_user(user: Uid) -> u64 {
    let tasks = |pid: RawPid| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let value = |key: &str| status.lines().find_map(|line| line.strip_prefix(key))?.split_whitespace().next();
        (value("Uid:")?.parse() == Ok(user.as_raw())).then(|| value("Threads:")?.parse::<u64>().ok()).flatten()
    };
    processes().filter_map(tasks).sum()
}

const TURN: Duration = Duration::from_millis(2);
