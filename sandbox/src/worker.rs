//! The worker process: reads requests from its socket, runs scripts one after the other, answers each.
//!
//! It never opens anything: no file, no connection, no process. It trusts nothing a script does and expects to be killed at any moment.
//! The socket is descriptor 0; its closing ends the worker.

mod confine;
mod convert;
mod failure;
mod globals;
mod parse;
mod realm;
mod runner;
mod value;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::wire::{Answer, FromWorker, Hello, Malformed, ToWorker, frame, frame_length};
use runner::Runner;

pub use confine::WorkerAllocator;
pub(crate) use confine::layer;
pub(crate) use runner::{sees_criteria, words};

/// Stack of the thread that parses and runs: deep nesting in a script must end in an answer, not in an overflow. Only touched pages cost.
const STACK: usize = 256 * 1024 * 1024;

/// What the hidden `script-worker` subcommand calls, before it starts any thread or opens anything.
pub fn worker_main() -> ExitCode {
    confine::close_inherited();
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let privileges = confine::drop_privileges();
    let evaluating = std::thread::Builder::new().name("scripts".to_owned()).stack_size(STACK).spawn(move || {
        let layers = confine::confine(privileges);
        serve(UnixStream::from(socket), layers)
    });
    match evaluating.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// Why the worker stops serving.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the socket failed")]
    Io(#[from] io::Error),
    #[error("the supervisor sent nonsense")]
    Malformed(#[from] Malformed),
}

fn serve(mut socket: UnixStream, layers: u32) -> Result<(), ServeError> {
    let mut out = Vec::new();
    let thread = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    send(&mut socket, &mut out, &FromWorker::Hello(Hello { thread, layers }))?;
    let mut runner = Runner::new();
    let mut body = Vec::new();
    while receive(&mut socket, &mut body)? {
        match ToWorker::read(&body)? {
            ToWorker::Batch(batch) => {
                confine::arm_memory_cap(batch.limits.memory);
                runner.batch(&batch, &mut |run| {
                    let answer =
                        Answer { cpu: thread_cpu(), retire: confine::over_soft_cap(batch.limits.memory), ..run };
                    send(&mut socket, &mut out, &FromWorker::Answer(answer))
                })?;
            }
            ToWorker::Admit(admit) => {
                confine::arm_memory_cap(admit.limits.memory);
                let answer = runner.admit(&admit.script);
                send(&mut socket, &mut out, &FromWorker::Admission(answer))?;
            }
            ToWorker::Reply(_) => return Err(Malformed("a reply to no call").into()),
        }
        runner.idle(&mut || socket_has_work(&socket));
    }
    Ok(())
}

/// Whether the next request is here already, so that idle work should wait.
fn socket_has_work(socket: &UnixStream) -> bool {
    let mut byte = [0];
    match rustix::net::recv(socket, &mut byte[..], rustix::net::RecvFlags::PEEK | rustix::net::RecvFlags::DONTWAIT) {
        Ok(_) => true,
        Err(error) => error != rustix::io::Errno::AGAIN,
    }
}

fn send(socket: &mut UnixStream, buffer: &mut Vec<u8>, message: &FromWorker) -> Result<(), ServeError> {
    frame(buffer, |to| message.write(to))?;
    Ok(socket.write_all(buffer)?)
}

/// Reads one frame's body; false when the supervisor closed the socket.
fn receive(socket: &mut UnixStream, body: &mut Vec<u8>) -> Result<bool, ServeError> {
    let mut head = [0; 4];
    match socket.read_exact(&mut head) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    body.clear();
    body.resize(frame_length(head)?, 0);
    socket.read_exact(body)?;
    Ok(true)
}

fn thread_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0))
}
