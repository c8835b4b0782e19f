//! The worker process: reads requests from a pipe, runs scripts one after the other, answers each.
//!
//! It never opens anything: no file, no connection, no process. It trusts nothing a script does and expects to be killed at any moment.
//! Requests come in at descriptor 0, whose closing ends the worker; descriptor 1 is the progress record and descriptor 2 takes the answers.

mod confine;
mod convert;
mod desk;
mod failure;
mod globals;
mod link;
mod parse;
mod realm;
mod runner;
mod value;

use std::fs::File;
use std::io;
use std::process::ExitCode;
use std::rc::Rc;

use crate::wire::{FromWorker, Hello, Malformed, ToWorker};
use desk::Desk;
use link::{Channel, Link};
use runner::Runner;

pub use confine::WorkerAllocator;
pub(crate) use confine::layer;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use parse::tree as read_tree;
pub(crate) use runner::{sees_criteria, words};

/// Stack of the thread that parses and runs: deep nesting in a script must end in an answer, not in an overflow. Only touched pages cost.
pub(crate) const STACK: usize = 256 * 1024 * 1024;

/// What the hidden `script-worker` subcommand calls, before it starts any thread or opens anything.
pub fn worker_main() -> ExitCode {
    confined(|pipes, layers| serve(pipes, layers).is_ok())
}

/// The two pipes that connect a worker with its supervisor.
///
/// Pipes rather than a socket: reading from a socket wakes whoever could write to it, and a wake-up costs more than most scripts.
#[doc(hidden)]
#[derive(Debug)]
pub struct Pipes {
    /// What the supervisor says; its closing ends the worker.
    pub requests: File,
    /// What the worker says.
    pub answers: File,
}

/// Runs `inside` as a worker runs scripts: confined, with nothing but the pipes to its supervisor and the isolation layers in force.
/// Apart from [`worker_main`], it is what shows from inside that nobody gets out.
#[doc(hidden)]
pub fn confined(inside: impl FnOnce(Pipes, u32) -> bool + Send + 'static) -> ExitCode {
    confine::close_inherited();
    let Ok(pipes) = confine::take_pipes() else {
        return ExitCode::FAILURE;
    };
    let privileges = confine::drop_privileges();
    let evaluating = std::thread::Builder::new().name("scripts".to_owned()).stack_size(STACK).spawn(move || {
        let layers = confine::confine(privileges);
        inside(pipes, layers)
    });
    match evaluating.map(std::thread::JoinHandle::join) {
        Ok(Ok(true)) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Why the worker stops serving.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("a pipe failed")]
    Io(#[from] io::Error),
    #[error("the supervisor sent nonsense")]
    Malformed(#[from] Malformed),
}

fn serve(pipes: Pipes, layers: u32) -> Result<(), ServeError> {
    let channel = Rc::new(Channel::new(pipes));
    let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    channel.push(&FromWorker::Hello(Hello { thread, layers }))?;
    channel.flush()?;
    let mut runner = Runner::new(Rc::clone(&channel) as Rc<dyn Link>);
    let mut body = Vec::new();
    while channel.receive(&mut body)? {
        match ToWorker::read(&body)? {
            ToWorker::Batch(batch) => {
                confine::arm_memory_cap(batch.limits.memory);
                runner.batch(&batch, &mut Desk::new(&channel, &batch))?;
                channel.flush()?;
            }
            ToWorker::Admit(admit) => {
                confine::arm_memory_cap(admit.limits.memory);
                channel.push(&FromWorker::Admission(runner.admit(&admit.script)))?;
                channel.flush()?;
            }
            ToWorker::Reply(_) => return Err(Malformed("a reply to no call").into()),
        }
        runner.idle(&mut || channel.has_work());
    }
    Ok(())
}
