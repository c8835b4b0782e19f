//! A second process that ends the demo's children when the demo is gone, however it went: finished, interrupted,
//! panicked or killed.
//!
//! The demo tells it process ids through a pipe; the end of the pipe is the sign. A process is ended only if it is still
//! the one that was announced: an id that was given to somebody else meanwhile has another start time.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead as _, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitCode, Stdio},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

/// The demo's end of the pipe.
pub struct Reaper {
    pipe: Mutex<Option<ChildStdin>>,
    child: Mutex<Child>,
}

impl Reaper {
    /// Starts the second process.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start() -> Result<Self> {
        let program = env::current_exe().context("cannot find this program")?;
        // A group of its own, so that Ctrl-C in the terminal does not reach it.
        let mut child = Command::new(program)
            .arg("reap")
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .context("cannot start the process that cleans up")?;
        let pipe = child.stdin.take();
        Ok(Self { pipe: Mutex::new(pipe), child: Mutex::new(child) })
    }

    /// This process is to end with the demo.
    pub fn watch(&self, pid: u32) {
        if let Some(start) = start_time(pid) {
            self.tell(&format!("watch {pid} {start}"));
        }
    }

    /// This process has ended.
    pub fn forget(&self, pid: u32) {
        self.tell(&format!("forget {pid}"));
    }

    /// This directory is to be removed with the demo.
    pub fn remove_at_end(&self, directory: &Path) {
        self.tell(&format!("remove {}", directory.display()));
    }

    /// The directory is to stay.
    pub fn keep_directory(&self) {
        self.tell("keep");
    }

    /// Everything is to stay: processes and directory.
    pub fn release(&self) {
        self.tell("release");
    }

    /// Ends what is left and waits until that is done.
    pub fn finish(&self) {
        drop(self.pipe.lock().unwrap_or_else(PoisonError::into_inner).take());
        // A reaper that is gone already has nothing left to do.
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }

    fn tell(&self, line: &str) {
        if let Some(pipe) = self.pipe.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            // Without a reaper the demo still ends its own processes.
            let _ = writeln!(pipe, "{line}");
        }
    }
}

/// The second process: reads until the pipe ends, then cleans up.
///
/// # Errors
/// When the pipe cannot be read.
pub fn reap() -> Result<ExitCode> {
    let mut watched: BTreeMap<u32, u64> = BTreeMap::new();
    let mut directory: Option<PathBuf> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.context("cannot read from the demo")?;
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match verb {
            "watch" => watched.extend(parse_watch(rest)),
            "forget" => {
                rest.parse().ok().and_then(|pid: u32| watched.remove(&pid));
            }
            "remove" => directory = Some(PathBuf::from(rest)),
            "keep" => directory = None,
            "release" => {
                watched.clear();
                directory = None;
            }
            _ => {}
        }
    }
    for (pid, start) in watched {
        if start_time(pid) == Some(start) {
            signal(pid, Signal::KILL);
        }
    }
    if let Some(directory) = directory {
        fs::remove_dir_all(&directory).with_context(|| format!("cannot remove `{}`", directory.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn parse_watch(text: &str) -> Option<(u32, u64)> {
    let (pid, start) = text.split_once(' ')?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}

/// Sends a signal to one process; one that is gone is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// When the process started, in clock ticks since boot (`man 5 proc_pid_stat`, field 22).
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name that may hold blanks and brackets; the third is the first after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
