//! The client's side of running a device script: starts a runner, gives it the task, waits for the answer.
//!
//! Giving up waiting is enough to end everything: the runner sees that its standard input is closed.

use std::{io, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, Command},
};

use super::{
    failure::Failure,
    wire::{Ending, Outcome, Task},
};
use crate::{config::RunnerCommand, device};

/// Runs a script; what it printed, or why that does not count.
pub(super) async fn run(runner: &RunnerCommand, task: Task) -> Result<String, Failure> {
    let limit = Duration::from_millis(task.limit_ms);
    let outcome = match exchange(runner, &task, limit).await {
        Ok(Some(outcome)) => outcome,
        Ok(None) => return Err(Failure::Runner("it did not answer".to_owned())),
        Err(error) => return Err(Failure::Runner(error.to_string())),
    };
    if outcome.left_behind {
        tracing::warn!("Device script left processes behind that could not be ended");
    }
    match outcome.ending {
        Ending::Printed(text) => Ok(text),
        Ending::Exit(code) => Err(Failure::Exit(code)),
        Ending::Signal(signal) => Err(Failure::Signal(signal)),
        Ending::TooSlow => Err(Failure::TooSlow(limit)),
        Ending::TooLong => Err(Failure::TooLong(task.most_bytes)),
        Ending::NotText => Err(Failure::NotText),
        Ending::NotStarted(reason) => Err(Failure::NotStarted(reason)),
    }
}

async fn exchange(runner: &RunnerCommand, task: &Task, limit: Duration) -> io::Result<Option<Outcome>> {
    let mut child = Command::new(&runner.program)
        .args(&runner.args)
        .env_clear()
        .envs(device::script_environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (Some(mut input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    let mut line = serde_json::to_vec(task)?;
    line.push(b'\n');
    let mut answer = Vec::new();
    let most = u64::try_from(task.most_bytes).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(ANSWER_FRAME);
    let exchange = async {
        input.write_all(&line).await?;
        output.take(most).read_to_end(&mut answer).await
    };
    let answered = tokio::time::timeout(limit + RUNNER_PATIENCE, exchange).await;
    drop(input);
    end(child).await;
    match answered {
        Ok(Ok(_)) if answer.is_empty() => Ok(None),
        Ok(Ok(_)) => Ok(Some(serde_json::from_slice(&answer)?)),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

async fn end(mut child: Child) {
    if tokio::time::timeout(RUNNER_PATIENCE, child.wait()).await.is_err() {
        tracing::warn!("Runner of a device script does not end and is killed");
        // It is gone when this fails.
        let _ = child.start_kill();
    }
}

/// What a runner takes beyond the script's own time: starting, killing and waiting for what was killed.
const RUNNER_PATIENCE: Duration = Duration::from_secs(5);

/// What an answer takes beside the text. Text grows to twice its length at most, because it holds no control characters
/// but those that JSON writes with two.
const ANSWER_FRAME: u64 = 1024;
