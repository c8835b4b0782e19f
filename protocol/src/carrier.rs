//! A carrier: one connection that carries many streams, whatever it runs over.
//!
//! Clients, gateways and controllers speak the same messages on every carrier. A stream is reset, not drained, when its
//! permission ends: what was not sent yet is dropped.

use std::{fmt, future::Future, net::SocketAddr, pin::Pin, sync::Arc};

use engine::{
    id::{ApplianceId, SessionId},
    token::Thumbprint,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future, so that carriers can be used as objects.
pub type CarrierFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One connection between two authenticated processes.
pub trait Carrier: Send + Sync + fmt::Debug + 'static {
    /// Opens a stream both ways.
    fn open(&self) -> CarrierFuture<'_, Result<Stream, CarrierError>>;
    /// The next stream the peer opens.
    fn accept(&self) -> CarrierFuture<'_, Result<Stream, CarrierError>>;
    /// Who the peer proved to be.
    fn peer(&self) -> Peer;
    /// Where the peer sends from, as of now.
    fn remote_address(&self) -> SocketAddr;
    /// How many packets have come from the peer. A count that stands still for longer than its shows of life are apart
    /// means that nothing comes any more.
    fn heard(&self) -> u64;
    /// Ends the connection at once; everything unsent is dropped.
    fn close(&self, code: u32, reason: &str);
    /// Resolves when the connection is over, with the code and text the peer gave, if it was the peer.
    fn closed(&self) -> CarrierFuture<'_, Closed>;
}

/// A shared carrier.
pub type SharedCarrier = Arc<dyn Carrier>;

/// Who is at the other end, by its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// No certificate was shown.
    Anonymous,
    /// A client's session, and the thumbprint of its certificate.
    Session(SessionId, Thumbprint),
    /// An appliance of the collective, and the thumbprint of its certificate.
    Appliance(ApplianceId, Thumbprint),
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// Application code, when the peer closed it.
    pub code: Option<u32>,
    /// Text for the log.
    pub reason: String,
}

/// The connection cannot carry any more.
#[derive(Debug, Clone, thiserror::Error)]
#[error("connection lost: {0}")]
pub struct CarrierError(pub String);

/// A stream, both halves.
pub struct Stream {
    /// To the peer.
    pub send: Box<dyn SendHalf>,
    /// From the peer.
    pub receive: Box<dyn ReceiveHalf>,
}

/// The half that sends.
pub trait SendHalf: AsyncWrite + Send + Sync + Unpin {
    /// Drops what is unsent and tells the peer.
    fn reset(&mut self, code: u32);
    /// Says that all was sent; what was written is still delivered.
    fn finish(&mut self);
}

/// The half that receives.
pub trait ReceiveHalf: AsyncRead + Send + Sync + Unpin {
    /// Asks the peer to send no more and drops what is buffered.
    fn stop(&mut self, code: u32);
}
