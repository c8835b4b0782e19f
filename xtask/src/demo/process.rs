//! The demo's processes: each with a log of its own, each ended by its id.

use std::{
    fs::{File, OpenOptions},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use super::wait::{self, Seen};
use crate::{
    cargo,
    reaper::{self, Reaper},
};

/// Starts processes and knows where their logs are.
#[derive(Clone)]
pub struct Launcher {
    reaper: Arc<Reaper>,
    directory: PathBuf,
    logs: PathBuf,
}

impl Launcher {
    /// Processes work in the first directory, logs go to the second.
    pub fn new(reaper: Arc<Reaper>, directory: PathBuf, logs: PathBuf) -> Self {
        Self { reaper, directory, logs }
    }

    /// Starts a process whose output goes to `NAME.log`, after what is there already.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, name: &str, command: &mut Command) -> Result<Process> {
        let log = self.logs.join(format!("{name}.log"));
        let file = open_log(&log)?;
        let errors = file.try_clone().context("cannot share a log file")?;
        // A group of its own: Ctrl-C in the terminal ends the demo, and the demo's end ends this.
        command.current_dir(&self.directory).stdin(Stdio::null()).stdout(file).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start `{}`", cargo::line_of(command)))?;
        self.reaper.watch(child.id());
        Ok(Process { name: name.to_owned(), child, log, reaper: self.reaper.clone(), stays: false })
    }
}

/// A running process; it ends with this value unless it was told to stay.
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    reaper: Arc<Reaper>,
    stays: bool,
}

impl Process {
    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        reaper::signal(self.pid(), Signal::KILL);
        self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.reaper.forget(self.pid());
        Ok(())
    }

    /// Asks it to end, and ends it if it does not.
    pub fn stop(&mut self) {
        if self.stays || self.exited().is_some() {
            return;
        }
        reaper::signal(self.pid(), Signal::TERM);
        let gone = wait::until("the end", STOP, || Ok(self.exited().map_or(Seen::NotYet(String::new()), Seen::Yes)));
        if gone.is_err() {
            // Nothing can be done about a process that cannot be killed; the reaper tries once more.
            let _ = self.kill();
        }
    }

    /// It outlives the demo.
    pub fn stay(&mut self) {
        self.stays = true;
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait().ok().flatten()?;
        self.reaper.forget(self.pid());
        Some(status)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after the bound.
    pub fn wait(&mut self, bound: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        wait::until(&what, bound, || Ok(self.exited().map_or(Seen::NotYet("it still runs".to_owned()), Seen::Yes)))
    }

    /// Fails when it is gone, with the end of its log.
    ///
    /// # Errors
    /// When it is gone.
    pub fn require_alive(&mut self) -> Result<()> {
        match self.exited() {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}); it said: {}", self.name, self.log_tail()),
        }
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().rev().take(LINES_SHOWN).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join(" | ")
    }

    /// Everything it wrote.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_text(&self) -> Result<String> {
        std::fs::read_to_string(&self.log).with_context(|| format!("cannot read `{}`", self.log.display()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

fn open_log(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot write `{}`", path.display()))
}

/// How long a process may take to end when asked.
const STOP: Duration = Duration::from_secs(5);

const LINES_SHOWN: usize = 3;
