//! The QUIC carrier: quinn, TLS 1.3, one UDP socket per endpoint.

use std::{
    fmt,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use quinn::{
    ConnectionError, Endpoint, EndpointConfig, IdleTimeout, ServerConfig, TokioRuntime, TransportConfig,
    TransportErrorCode, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::{
    carrier::{Carrier, CarrierError, CarrierFuture, Closed, Peer, ReceiveHalf, SendHalf, SharedCarrier, Stream},
    tls,
};

/// The application protocol clients and gateways speak to controllers.
pub const CONTROLLER_ALPN: &[u8] = b"portcullis-controller/1";

/// The application protocol clients speak to gateways.
pub const GATEWAY_ALPN: &[u8] = b"portcullis-gateway/1";

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Streams the peer may have open at once.
    pub streams: u32,
    /// Most bytes of one stream that wait here to be read. Bounds a stream's speed to this much per round trip.
    pub stream_window: u32,
    /// Most bytes of the whole connection that wait here to be read: what a peer can make this end hold.
    pub window: u32,
    /// Silence after which the connection counts as lost.
    pub idle: Duration,
    /// How often an idle end shows that it lives; below `idle`.
    pub keep_alive: Duration,
}

impl Limits {
    /// What a connection gets unless there is a reason for other bounds.
    pub const DEFAULT: Self = Self {
        streams: 1024,
        stream_window: 1024 * 1024,
        window: 32 * 1024 * 1024,
        idle: Duration::from_secs(30),
        keep_alive: Duration::from_secs(8),
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Errors from setting up an endpoint or a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuicError {
    /// The TLS settings lack what QUIC needs.
    #[error("TLS settings cannot be used for QUIC")]
    Settings(#[source] quinn::crypto::rustls::NoInitialCipherSuite),
    /// The UDP socket cannot be used.
    #[error("cannot use UDP address {address}")]
    Socket {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server name is no name.
    #[error("cannot connect")]
    Connect(#[source] quinn::ConnectError),
    /// The handshake failed or timed out.
    #[error("handshake with {address} failed")]
    Handshake {
        /// The address dialled.
        address: SocketAddr,
        /// Why.
        #[source]
        source: ConnectionError,
    },
}

impl QuicError {
    /// What a user can do something about.
    pub fn cause(&self) -> HandshakeCause {
        let Self::Handshake { source, .. } = self else { return HandshakeCause::Other };
        match source {
            ConnectionError::TransportError(error)
                if error.code == TransportErrorCode::crypto(ALERT_UNKNOWN_AUTHORITY) =>
            {
                HandshakeCause::Authority
            }
            ConnectionError::TransportError(error)
                if error.code == TransportErrorCode::crypto(ALERT_CERTIFICATE_EXPIRED) =>
            {
                HandshakeCause::CertificateTime
            }
            ConnectionError::TimedOut => HandshakeCause::NoAnswer,
            _ => HandshakeCause::Other,
        }
    }
}

/// Why a handshake failed, as far as it calls for something to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeCause {
    /// The peer is not of the pinned authority.
    Authority,
    /// By the local clock the peer's certificate is not valid now.
    CertificateTime,
    /// Nobody answered.
    NoAnswer,
    /// Anything else.
    Other,
}

/// The code a peer gave when it reset a stream or refused more of it; `None` for every other failure of a stream.
pub fn reset_code(error: &std::io::Error) -> Option<u32> {
    let inner = error.get_ref()?;
    let code = match (inner.downcast_ref::<quinn::ReadError>(), inner.downcast_ref::<quinn::WriteError>()) {
        (Some(quinn::ReadError::Reset(code)), _) | (_, Some(quinn::WriteError::Stopped(code))) => *code,
        _ => return None,
    };
    u32::try_from(code.into_inner()).ok()
}

/// A UDP socket that accepts connections.
pub struct Listener {
    endpoint: Endpoint,
}

impl Listener {
    /// Listens on an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the settings or the socket cannot be used.
    pub fn bind(address: SocketAddr, tls: rustls::ServerConfig, limits: Limits) -> Result<Self, QuicError> {
        let config = server(tls, limits)?;
        let endpoint = Endpoint::server(config, address).map_err(|source| QuicError::Socket { address, source })?;
        Ok(Self { endpoint })
    }

    /// As [`Listener::bind`], for a server that is started again some time: what its earlier processes left open is ended by
    /// a [stateless reset] instead of being met with silence. `secret` stays the same, and nobody else knows it.
    ///
    /// [stateless reset]: https://www.rfc-editor.org/rfc/rfc9000#section-10.3
    ///
    /// # Errors
    /// When the settings or the socket cannot be used.
    pub fn bind_lasting(
        address: SocketAddr,
        tls: rustls::ServerConfig,
        limits: Limits,
        secret: &[u8],
    ) -> Result<Self, QuicError> {
        let unusable = |source| QuicError::Socket { address, source };
        let socket = std::net::UdpSocket::bind(address).map_err(unusable)?;
        let runtime = Arc::new(TokioRuntime);
        let endpoint = Endpoint::new(lasting(secret), Some(server(tls, limits)?), socket, runtime).map_err(unusable)?;
        Ok(Self { endpoint })
    }

    /// The address really bound.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next connection attempt; `None` once the listener is closed. The handshake is the caller's to await, in a
    /// task of its own, so that a slow peer holds nobody up.
    pub async fn accept(&self) -> Option<Incoming> {
        self.endpoint.accept().await.map(Incoming)
    }

    /// Closes all connections and the socket.
    pub fn close(&self, code: u32, reason: &str) {
        self.endpoint.close(VarInt::from_u32(code), reason.as_bytes());
    }
}

/// A connection whose handshake is not done.
pub struct Incoming(quinn::Incoming);

impl Incoming {
    /// Where it comes from.
    pub fn remote_address(&self) -> SocketAddr {
        self.0.remote_address()
    }

    /// Refuses it without a handshake.
    pub fn refuse(self) {
        self.0.refuse();
    }

    /// Finishes the handshake.
    ///
    /// # Errors
    /// When it fails, for instance for a certificate of a foreign authority.
    pub async fn finish(self) -> Result<SharedCarrier, QuicError> {
        let address = self.0.remote_address();
        let connection = self.0.await.map_err(|source| QuicError::Handshake { address, source })?;
        Ok(Arc::new(QuicCarrier { connection }))
    }
}

/// A UDP socket that dials. One serves any number of connections.
#[derive(Clone)]
pub struct Dialer {
    endpoint: Endpoint,
}

impl Dialer {
    /// Binds a local address.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn bind(address: SocketAddr) -> Result<Self, QuicError> {
        let endpoint = Endpoint::client(address).map_err(|source| QuicError::Socket { address, source })?;
        Ok(Self { endpoint })
    }

    /// Connects; the server must prove `server_name` under the settings' authority.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn dial(
        &self,
        address: SocketAddr,
        server_name: &str,
        tls: rustls::ClientConfig,
        limits: Limits,
    ) -> Result<SharedCarrier, QuicError> {
        let crypto = QuicClientConfig::try_from(tls).map_err(QuicError::Settings)?;
        let mut config = quinn::ClientConfig::new(Arc::new(crypto));
        config.transport_config(transport(limits));
        let connecting = self.endpoint.connect_with(config, address, server_name).map_err(QuicError::Connect)?;
        let connection = connecting.await.map_err(|source| QuicError::Handshake { address, source })?;
        Ok(Arc::new(QuicCarrier { connection }))
    }

    /// Waits until closed connections have told their peers.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

fn server(tls: rustls::ServerConfig, limits: Limits) -> Result<ServerConfig, QuicError> {
    let crypto = QuicServerConfig::try_from(tls).map_err(QuicError::Settings)?;
    let mut config = ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport(limits));
    // Who comes from another address is admitted anew, because conditions and pins were decided for the old one.
    config.migration(false);
    Ok(config)
}

/// What makes every process with this secret know the connection ids of the others, and end their connections.
fn lasting(secret: &[u8]) -> EndpointConfig {
    let secret = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let reset = hmac::sign(&secret, b"portcullis stateless reset");
    let ids = hmac::sign(&secret, b"portcullis connection ids");
    let ids = ids.as_ref().first_chunk().copied().map_or(0, u64::from_be_bytes);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref())));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config.min_reset_interval(RESET_INTERVAL);
    config
}

fn transport(limits: Limits) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    config.max_concurrent_bidi_streams(VarInt::from_u32(limits.streams));
    config.max_concurrent_uni_streams(VarInt::from_u32(0));
    config.stream_receive_window(VarInt::from_u32(limits.stream_window));
    config.receive_window(VarInt::from_u32(limits.window));
    config.max_idle_timeout(IdleTimeout::try_from(limits.idle).ok());
    config.keep_alive_interval(Some(limits.keep_alive));
    Arc::new(config)
}

struct QuicCarrier {
    connection: quinn::Connection,
}

impl fmt::Debug for QuicCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicCarrier").field("remote", &self.connection.remote_address()).finish()
    }
}

impl Carrier for QuicCarrier {
    fn open(&self) -> CarrierFuture<'_, Result<Stream, CarrierError>> {
        Box::pin(async { self.connection.open_bi().await.map(stream).map_err(lost) })
    }

    fn accept(&self) -> CarrierFuture<'_, Result<Stream, CarrierError>> {
        Box::pin(async { self.connection.accept_bi().await.map(stream).map_err(lost) })
    }

    fn peer(&self) -> Peer {
        let identity = self.connection.peer_identity();
        let chain = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        chain.and_then(|chain| chain.first().map(tls::peer_of)).unwrap_or(Peer::Anonymous)
    }

    fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    fn heard(&self) -> u64 {
        self.connection.stats().udp_rx.datagrams
    }

    fn close(&self, code: u32, reason: &str) {
        self.connection.close(VarInt::from_u32(code), reason.as_bytes());
    }

    fn closed(&self) -> CarrierFuture<'_, Closed> {
        Box::pin(async {
            match self.connection.closed().await {
                ConnectionError::ApplicationClosed(close) => Closed {
                    code: u32::try_from(close.error_code.into_inner()).ok(),
                    reason: String::from_utf8_lossy(&close.reason).into_owned(),
                },
                other => Closed { code: None, reason: other.to_string() },
            }
        })
    }
}

fn stream((send, receive): (quinn::SendStream, quinn::RecvStream)) -> Stream {
    Stream { send: Box::new(QuicSend(send)), receive: Box::new(QuicReceive(receive)) }
}

fn lost(error: ConnectionError) -> CarrierError {
    CarrierError(error.to_string())
}

struct QuicSend(quinn::SendStream);

impl AsyncWrite for QuicSend {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.0), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.0), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.0), context)
    }
}

impl SendHalf for QuicSend {
    fn reset(&mut self, code: u32) {
        // A stream that is already closed has nothing left to drop.
        let _ = self.0.reset(VarInt::from_u32(code));
    }

    fn finish(&mut self) {
        // As above.
        let _ = self.0.finish();
    }
}

struct QuicReceive(quinn::RecvStream);

impl AsyncRead for QuicReceive {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), context, buffer)
    }
}

impl ReceiveHalf for QuicReceive {
    fn stop(&mut self, code: u32) {
        // A stream that is already closed has nothing left to stop.
        let _ = self.0.stop(VarInt::from_u32(code));
    }
}

/// After a restart every client is to be told within a few seconds. A reset is smaller than what it answers.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// TLS alert `unknown_ca` ([RFC 8446, section 6](https://www.rfc-editor.org/rfc/rfc8446#section-6)).
const ALERT_UNKNOWN_AUTHORITY: u8 = 48;

/// TLS alert `certificate_expired`; rustls sends it for certificates that are not valid yet, too.
const ALERT_CERTIFICATE_EXPIRED: u8 = 45;

#[cfg(test)]
mod tests;
