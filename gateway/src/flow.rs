//! One flow on the wire: a stream of the client and a socket to a protected host, and the gate between them.
//!
//! INVARIANTS:
//! - [`Gate::cut`] ends both sides itself, at once and without waiting for anybody: the stream is reset, the socket is
//!   aborted with what its buffers hold. When it returns, no byte of the flow leaves this process any more;
//! - nothing is written in either direction without asking the session right before ([`LiveSession::passes`]), also when
//!   a write was waiting.

mod datagrams;
mod gate;
mod pump;
mod serve;

pub(crate) use gate::{Gate, GateState};
pub(crate) use serve::serve;
