//! The gate: both ends of a flow, where a cut finds them.

use std::{
    io,
    pin::Pin,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use protocol::{
    carrier::{ReceiveHalf, SendHalf, Stream},
    message::close_code,
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::watch,
};

use crate::dial::Upstream;

/// Whether data may flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateState {
    Open,
    /// Nothing is read or written until it opens again; nothing is lost.
    Paused,
    /// For good.
    Cut,
}

/// Both ends of a flow.
pub(crate) struct Gate {
    state: watch::Sender<GateState>,
    send: Mutex<Box<dyn SendHalf>>,
    receive: Mutex<Box<dyn ReceiveHalf>>,
    upstream: OnceLock<Upstream>,
    finished: AtomicBool,
}

impl Gate {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            state: watch::Sender::new(GateState::Open),
            send: Mutex::new(stream.send),
            receive: Mutex::new(stream.receive),
            upstream: OnceLock::new(),
            finished: AtomicBool::new(false),
        }
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<GateState> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> GateState {
        *self.state.borrow()
    }

    pub(crate) fn pause(&self) {
        self.turn(GateState::Open, GateState::Paused);
    }

    pub(crate) fn resume(&self) {
        self.turn(GateState::Paused, GateState::Open);
    }

    /// Ends both sides now. The state goes first, so that no pump takes what follows for an ordinary end.
    pub(crate) fn cut(&self, code: u32) {
        if self.state.send_replace(GateState::Cut) == GateState::Cut {
            return;
        }
        self.reset(code);
        self.abort_upstream();
    }

    /// Takes in the socket to the protected host; false when the flow was cut meanwhile.
    pub(crate) fn attach(&self, upstream: Upstream) -> bool {
        let attached = self.upstream.get_or_init(|| upstream);
        // INVARIANT: the socket is set before the state is read, and a cut sets the state before it looks for the socket.
        if self.state() == GateState::Cut {
            abort(attached);
            return false;
        }
        true
    }

    /// The socket to the protected host, once there is one.
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        self.upstream.get()
    }

    /// Resets the client's stream; what is buffered is dropped.
    pub(crate) fn reset(&self, code: u32) {
        self.send().reset(code);
        self.receive().stop(code);
    }

    /// Aborts the connection to the protected host; what is buffered is dropped.
    pub(crate) fn abort_upstream(&self) {
        if let Some(upstream) = self.upstream.get() {
            abort(upstream);
        }
    }

    /// Says that everything was sent to the client.
    pub(crate) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
        self.send().finish();
    }

    /// Lets the connection to the protected host end in peace: both sides have said all.
    pub(crate) fn release_upstream(&self) {
        if let Some(Upstream::Tcp(stream)) = self.upstream.get() {
            // Without it the last bytes may be lost, which the host sees as an error.
            let _ = SockRef::from(stream).set_linger(None);
        }
    }

    /// The client's stream, for frames.
    pub(crate) fn client(&self) -> Client<'_> {
        Client(self)
    }

    fn turn(&self, from: GateState, to: GateState) {
        self.state.send_if_modified(|state| {
            let turns = *state == from;
            if turns {
                *state = to;
            }
            turns
        });
    }

    fn send(&self) -> MutexGuard<'_, Box<dyn SendHalf>> {
        self.send.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self) -> MutexGuard<'_, Box<dyn ReceiveHalf>> {
        self.receive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gate {
    /// A flow that is given up half-way must not look complete to the client; its socket is set to abort on close.
    fn drop(&mut self) {
        if !self.finished.load(Ordering::Relaxed) {
            self.reset(close_code::UPSTREAM);
        }
    }
}

/// The client's stream through its gate. The locks are held for one poll only.
pub(crate) struct Client<'a>(&'a Gate);

impl AsyncRead for Client<'_> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.receive()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Client<'_> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut **self.0.send()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.send()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut **self.0.send()).poll_shutdown(context)
    }
}

/// Disconnecting a TCP socket sends RST and drops its buffers now, whoever else holds the socket; its close would do the
/// same, later. A disconnected UDP socket has nowhere to send to.
fn abort(upstream: &Upstream) {
    let disconnected = match upstream {
        Upstream::Tcp(stream) => rustix::net::connect_unspec(stream),
        Upstream::Udp(socket) => rustix::net::connect_unspec(socket),
    };
    if let Err(error) = disconnected {
        tracing::debug!(%error, "Socket to a protected host was not disconnected; closing it aborts it");
    }
}
