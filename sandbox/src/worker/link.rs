//! The worker's ends of the pipes: answers out, requests in, and the calls of a running script in between.
//!
//! INVARIANT: frames leave in the order they were pushed; a call leaves after every answer before it, and nothing leaves between a call and its reply.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Pipes, ServeError};
use crate::wire::{FromWorker, HostCall, HostReply, Malformed, ToWorker, frame, frame_length};

/// Bytes of answers after which they are written before the batch ends.
const WAITING: usize = 64 * 1024;

/// Whom a running script's calls go to.
pub(super) trait Link {
    /// Asks and waits for the reply. Without anybody to ask it does not return: the process ends.
    fn call(&self, call: HostCall) -> HostReply;
}

/// Room for requests that are read ahead; most come whole with one read.
const READ: usize = 64 * 1024;

/// The pipes to the supervisor, and what still waits to be written.
pub(super) struct Channel {
    requests: RefCell<BufReader<File>>,
    answers: File,
    waiting: RefCell<Vec<u8>>,
    asked: Cell<bool>,
    frame: RefCell<Vec<u8>>,
}

impl Channel {
    pub(super) fn new(Pipes { requests, answers }: Pipes) -> Self {
        let requests = RefCell::new(BufReader::with_capacity(READ, requests));
        Self { requests, answers, waiting: RefCell::default(), asked: Cell::new(false), frame: RefCell::default() }
    }

    /// Takes a message to be written no later than the next [`Self::flush`].
    pub(super) fn push(&self, message: &FromWorker) -> Result<(), ServeError> {
        let mut framed = self.frame.borrow_mut();
        frame(&mut framed, |to| message.write(to))?;
        let mut waiting = self.waiting.borrow_mut();
        waiting.extend_from_slice(&framed);
        let full = waiting.len() >= WAITING;
        drop(waiting);
        if full { self.flush() } else { Ok(()) }
    }

    /// Writes what waits.
    pub(super) fn flush(&self) -> Result<(), ServeError> {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.is_empty() {
            (&self.answers).write_all(&waiting)?;
            waiting.clear();
        }
        Ok(())
    }

    /// Reads one frame's body; false when the supervisor closed the pipe.
    pub(super) fn receive(&self, body: &mut Vec<u8>) -> Result<bool, ServeError> {
        let mut requests = self.requests.borrow_mut();
        let mut head = [0; 4];
        match requests.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        body.clear();
        body.resize(frame_length(head)?, 0);
        requests.read_exact(body)?;
        Ok(true)
    }

    /// Whether the next request is here already, so that idle work should wait.
    pub(super) fn has_work(&self) -> bool {
        let requests = self.requests.borrow();
        let mut polled = [PollFd::new(requests.get_ref(), PollFlags::IN)];
        // An error counts as work, so that reading finds it.
        !requests.buffer().is_empty() || poll(&mut polled, Some(&Timespec::default())) != Ok(0)
    }

    /// Whether anything was asked since the last time this was.
    pub(super) fn take_asked(&self) -> bool {
        self.asked.take()
    }

    fn ask(&self, call: HostCall) -> Result<HostReply, ServeError> {
        self.asked.set(true);
        self.push(&FromWorker::Call(call))?;
        self.flush()?;
        let mut body = Vec::new();
        if !self.receive(&mut body)? {
            return Err(Malformed("closed before the reply").into());
        }
        match ToWorker::read(&body)? {
            ToWorker::Reply(reply) => Ok(reply),
            ToWorker::Batch(_) | ToWorker::Admit(_) => Err(Malformed("no reply to the call").into()),
        }
    }
}

impl Link for Channel {
    fn call(&self, call: HostCall) -> HostReply {
        // Without its supervisor a worker has nobody to answer; the script must not go on as if it had been answered.
        self.ask(call).unwrap_or_else(|_| std::process::exit(1))
    }
}
