//! Carrying a flow's bytes: one loop per direction, each chunk checked right before it is written.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use engine::session::FlowId;
use protocol::message::close_code;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWrite as _},
    net::TcpStream,
    sync::watch,
};

use super::{Gate, GateState};
use crate::session::LiveSession;

/// How a flow came to its end.
#[derive(Debug)]
pub(super) enum Ending {
    /// Its permission ended; both sides are down already.
    Cut,
    /// The client's side broke or was given up.
    Client,
    /// The protected host's side broke.
    Upstream,
    /// Nothing was said for too long.
    Idle,
}

/// One direction of a flow: what it needs to know before each write.
pub(super) struct Passage<'a> {
    pub(super) session: &'a Arc<LiveSession>,
    pub(super) flow: FlowId,
    pub(super) gate: &'a Gate,
    state: watch::Receiver<GateState>,
}

impl<'a> Passage<'a> {
    pub(super) fn new(session: &'a Arc<LiveSession>, flow: FlowId, gate: &'a Gate) -> Self {
        Self { session, flow, gate, state: gate.subscribe() }
    }

    /// Waits until data may flow.
    pub(super) async fn open(&mut self) -> Result<(), Ending> {
        match self.state.wait_for(|state| *state != GateState::Paused).await.map(|state| *state) {
            Ok(GateState::Open) => Ok(()),
            Ok(GateState::Paused | GateState::Cut) | Err(_) => Err(Ending::Cut),
        }
    }

    /// Runs what waits for data, until the gate turns; `None` then.
    pub(super) async fn unless_turned<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            _ = self.state.changed() => None,
            done = work => Some(done),
        }
    }

    /// Whether the next write may happen; asks the session, and has it catch up when it says no with an open gate.
    pub(super) fn may_write(&self) -> bool {
        if self.session.passes(self.flow) {
            return true;
        }
        // Time may have ended what no event has ended yet.
        self.session.tick();
        if self.gate.state() == GateState::Open && !self.session.passes(self.flow) {
            self.gate.cut(close_code::CUT);
        }
        false
    }

    /// Writes all of it to the client.
    pub(super) async fn write_client(&mut self, mut bytes: &[u8]) -> Result<(), Ending> {
        while !bytes.is_empty() {
            self.open().await?;
            let gate = self.gate;
            let permitted = Permitted(self.session, self.flow);
            let written = self.unless_turned(poll_fn(|context| permitted.poll_client(gate, context, bytes))).await;
            match written {
                None => {}
                Some(Some(Ok(count))) => bytes = bytes.get(count..).unwrap_or_default(),
                Some(Some(Err(_))) => return Err(self.unless_cut(Ending::Client)),
                Some(None) => self.settle(),
            }
        }
        Ok(())
    }

    /// Writes all of it to the protected host.
    async fn write_upstream(&mut self, upstream: &TcpStream, mut bytes: &[u8]) -> Result<(), Ending> {
        while !bytes.is_empty() {
            self.open().await?;
            match self.unless_turned(upstream.writable()).await {
                None => continue,
                Some(Ok(())) => {}
                Some(Err(_)) => return Err(self.unless_cut(Ending::Upstream)),
            }
            if !self.may_write() {
                continue;
            }
            match upstream.try_write(bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Err(self.unless_cut(Ending::Upstream)),
            }
        }
        Ok(())
    }

    /// A cut makes both sides fail; it is then no failure of that side.
    pub(super) fn unless_cut(&self, ending: Ending) -> Ending {
        if self.gate.state() == GateState::Cut { Ending::Cut } else { ending }
    }

    /// What was read while a cut went on says nothing of the side it came from.
    pub(super) fn check_not_cut(&self) -> Result<(), Ending> {
        if self.gate.state() == GateState::Cut { Err(Ending::Cut) } else { Ok(()) }
    }

    fn settle(&self) {
        let _ = self.may_write();
    }
}

struct Permitted<'a>(&'a Arc<LiveSession>, FlowId);

impl Permitted<'_> {
    /// Writes to the client if that is permitted at this very moment; `None` if not.
    fn poll_client(&self, gate: &Gate, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Option<io::Result<usize>>> {
        if !self.0.passes(self.1) {
            return Poll::Ready(None);
        }
        Pin::new(&mut gate.client()).poll_write(context, bytes).map(Some)
    }
}

/// Carries a TCP flow until both sides are done.
pub(super) async fn carry(
    session: &Arc<LiveSession>,
    flow: FlowId,
    gate: &Gate,
    upstream: &TcpStream,
) -> Result<(), Ending> {
    let up = up(Passage::new(session, flow, gate), upstream);
    let down = down(Passage::new(session, flow, gate), upstream);
    tokio::try_join!(up, down).map(|((), ())| ())
}

async fn up(mut passage: Passage<'_>, upstream: &TcpStream) -> Result<(), Ending> {
    let mut buffer = vec![0; CHUNK];
    let gate = passage.gate;
    loop {
        passage.open().await?;
        let mut client = gate.client();
        let Some(read) = passage.unless_turned(client.read(&mut buffer)).await else { continue };
        let count = read.map_err(|_| passage.unless_cut(Ending::Client))?;
        // A stream that a cut stopped reads as ended; the host must not see a FIN for it.
        passage.check_not_cut()?;
        if count == 0 {
            // The protected host may still have something to say.
            let shut = SockRef::from(upstream).shutdown(std::net::Shutdown::Write);
            return shut.map_err(|_| passage.unless_cut(Ending::Upstream));
        }
        passage.write_upstream(upstream, buffer.get(..count).unwrap_or_default()).await?;
    }
}

async fn down(mut passage: Passage<'_>, upstream: &TcpStream) -> Result<(), Ending> {
    let mut buffer = vec![0; CHUNK];
    loop {
        passage.open().await?;
        match passage.unless_turned(upstream.readable()).await {
            None => continue,
            Some(Ok(())) => {}
            Some(Err(_)) => return Err(passage.unless_cut(Ending::Upstream)),
        }
        let count = match upstream.try_read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Err(passage.unless_cut(Ending::Upstream)),
        };
        passage.check_not_cut()?;
        if count == 0 {
            passage.gate.finish();
            return Ok(());
        }
        passage.write_client(buffer.get(..count).unwrap_or_default()).await?;
    }
}

/// Bytes read at once, per direction.
const CHUNK: usize = 32 * 1024;
