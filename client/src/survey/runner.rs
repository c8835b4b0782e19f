//! The process that runs one device script for a client and leaves nothing of it behind.
//!
//! It is a process of its own so that it can adopt whatever the script starts: it is the reaper of all its descendants, so
//! that a process which leaves the script's group or session, or whose parents are gone, still belongs to it and is found.
//! When the script has ended, took too long, printed too much, or when the client is gone, all of them are killed.
//!
//! Out of its reach is what a script has another program start: a service manager, a scheduler. A script runs with the
//! rights of the user; none of this protects the user from a script, it keeps mistakes small.

mod descriptors;
mod sweep;

use std::{
    io::{self, BufRead as _, Read, Write as _},
    os::{
        fd::OwnedFd,
        unix::process::{CommandExt as _, ExitStatusExt as _},
    },
    process::{Child, ChildStdout, Command, ExitCode, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Resource, Rlimit, Signal, getpid, getuid, kill_process_group, pidfd_open, set_child_subreaper,
        setrlimit, setsid,
    },
};

use super::wire::{Ending, Outcome, Task};

/// The whole life of a runner: reads what to run from the standard input, which the client keeps open for as long as it
/// wants the answer, and writes what came of it to the standard output.
///
/// Call before anything else has run in the process.
pub fn script_runner_main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may read it; the client takes the missing answer for a failure.
            let _ = writeln!(io::stderr(), "device script runner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve() -> io::Result<()> {
    descriptors::keep_from_programs();
    confine()?;
    let mut line = Vec::new();
    io::stdin().lock().take(MAX_TASK).read_until(b'\n', &mut line)?;
    let task: Task = serde_json::from_slice(&line)?;
    let Some(outcome) = run(&task) else { return Ok(()) };
    let mut answer = serde_json::to_vec(&outcome)?;
    answer.push(b'\n');
    io::stdout().write_all(&answer)?;
    io::stdout().flush()
}

/// What the script and all it starts inherit.
fn confine() -> io::Result<()> {
    // Away from the terminal. Fails only for a process that already leads a group, which has one of its own then.
    let _ = setsid();
    rustix::thread::set_no_new_privs(true)?;
    set_child_subreaper(Some(getpid()))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if !getuid().is_root() {
        // The limit counts everything the user runs, so it is set a little above what there is now.
        let most = sweep::tasks_of_user(getuid()).saturating_add(MOST_NEW_TASKS);
        let set = rustix::process::getrlimit(Resource::Nproc);
        let current = set.maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(Resource::Nproc, Rlimit { current: Some(current), maximum: Some(current) })?;
    }
    Ok(())
}

/// Runs the script to its end, whichever way; nothing when the client does not want to know any more.
fn run(task: &Task) -> Option<Outcome> {
    let deadline = Instant::now() + Duration::from_millis(task.limit_ms);
    let mut child = match start(task) {
        Ok(child) => child,
        Err(error) => return Some(Outcome { ending: Ending::NotStarted(error.to_string()), left_behind: false }),
    };
    let mut printed = Vec::new();
    let stop = watch(&mut child, task.most_bytes, deadline, &mut printed);
    // The leader was not waited for yet, so its number cannot be somebody else's.
    let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
    let status = child.wait();
    let left_behind = !sweep::kill_descendants(SWEEP);
    let ending = match stop {
        Ok(Stop::Unwanted) => return None,
        Ok(Stop::TooSlow) => Ending::TooSlow,
        Ok(Stop::TooLong) => Ending::TooLong,
        Ok(Stop::Ended) => {
            status.map_or_else(|error| Ending::NotStarted(error.to_string()), |status| read(status, printed))
        }
        Err(error) => Ending::NotStarted(error.to_string()),
    };
    Some(Outcome { ending, left_behind })
}

fn start(task: &Task) -> io::Result<Child> {
    let mut command = Command::new(&task.program);
    command.args(&task.args).current_dir("/").process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut attempts = 0;
    loop {
        match command.spawn() {
            // A file that was just written is busy while some process that is being started still holds it open.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy && attempts < BUSY_ATTEMPTS => {
                attempts += 1;
                std::thread::sleep(BUSY_PAUSE);
            }
            other => return other,
        }
    }
}

enum Stop {
    Ended,
    TooSlow,
    TooLong,
    /// The client is gone or does not wait any more.
    Unwanted,
}

fn watch(child: &mut Child, most: usize, deadline: Instant, printed: &mut Vec<u8>) -> io::Result<Stop> {
    let client = io::stdin();
    let ended: OwnedFd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut output = child.stdout.take();
    if let Some(output) = &output {
        rustix::io::ioctl_fionbio(output, true)?;
    }
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(Stop::TooSlow);
        }
        let mut waiting = vec![PollFd::new(&client, PollFlags::empty()), PollFd::new(&ended, PollFlags::IN)];
        waiting.extend(output.as_ref().map(|output| PollFd::new(output, PollFlags::IN)));
        let left =
            Timespec { tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut waiting, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let happened = |index: usize| waiting.get(index).is_some_and(|fd| !fd.revents().is_empty());
        let (unwanted, is_over) = (happened(0), happened(1));
        if unwanted {
            return Ok(Stop::Unwanted);
        }
        if let Some(pipe) = &mut output {
            match take(pipe, most, printed)? {
                Taken::TooMuch => return Ok(Stop::TooLong),
                Taken::All => output = None,
                Taken::Some => {}
            }
        }
        // Whoever still holds the pipe does not keep anybody waiting.
        if is_over {
            return Ok(Stop::Ended);
        }
    }
}

enum Taken {
    /// More may come.
    Some,
    /// The pipe is closed.
    All,
    TooMuch,
}

/// Takes what is there now.
fn take(pipe: &mut ChildStdout, most: usize, printed: &mut Vec<u8>) -> io::Result<Taken> {
    let mut piece = [0; 8192];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => return Ok(Taken::All),
            Ok(got) => printed.extend_from_slice(piece.get(..got).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Taken::Some),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if printed.len() > most {
            return Ok(Taken::TooMuch);
        }
    }
}

/// What a script that ended by itself has to say.
fn read(status: ExitStatus, printed: Vec<u8>) -> Ending {
    match (status.code(), status.signal()) {
        (Some(0), _) => {}
        (Some(code), _) => return Ending::Exit(code),
        (None, signal) => return Ending::Signal(signal.unwrap_or(0)),
    }
    let Ok(text) = String::from_utf8(printed) else { return Ending::NotText };
    if text.chars().any(|character| character.is_control() && !matches!(character, '\n' | '\r' | '\t')) {
        return Ending::NotText;
    }
    Ending::Printed(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// Longest task in bytes: a path and arguments.
const MAX_TASK: u64 = 64 * 1024;

/// Processes and threads a script may start beside those the user has.
const MOST_NEW_TASKS: u64 = 256;

/// How long the killed may take to be gone. The kernel needs milliseconds.
const SWEEP: Duration = Duration::from_secs(2);

const BUSY_ATTEMPTS: u32 = 20;
const BUSY_PAUSE: Duration = Duration::from_millis(10);
