//! A carrier inside this process: streams are pipes in memory, and the peer is who the bench says.
//!
//! It notes the moment the gateway resets a stream, which is what a cut is for the client.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use protocol::carrier::{
    Carrier, CarrierError, CarrierFuture, Closed, Peer, ReceiveHalf, SendHalf, SharedCarrier, Stream,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::{Mutex, mpsc, watch},
};

/// The client's end of a connection; the connection ends with it.
pub(super) struct Client {
    streams: mpsc::Sender<Stream>,
    closed: watch::Sender<bool>,
}

/// A stream as the client holds it.
pub(super) struct ClientStream {
    /// To the gateway.
    pub(super) send: DuplexStream,
    /// From the gateway.
    pub(super) receive: DuplexStream,
    /// When the gateway reset it.
    pub(super) reset: Arc<OnceLock<Instant>>,
}

/// A connection of a peer from an address: the gateway's end, and the client's.
pub(super) fn connection(peer: Peer, address: SocketAddr) -> (SharedCarrier, Client) {
    let (streams, accepted) = mpsc::channel(1);
    let closed = watch::Sender::new(false);
    let carrier = MemoryCarrier {
        peer,
        address,
        accepted: Mutex::new(accepted),
        heard: AtomicU64::new(0),
        closed: closed.clone(),
    };
    (Arc::new(carrier), Client { streams, closed })
}

impl Client {
    /// Opens a stream.
    pub(super) async fn open(&self) -> anyhow::Result<ClientStream> {
        let (send, received) = duplex(PIPE);
        let (sent, receive) = duplex(PIPE);
        let reset = Arc::new(OnceLock::new());
        let stream = Stream {
            send: Box::new(Sending { pipe: Some(sent), reset: reset.clone() }),
            receive: Box::new(Receiving { pipe: Some(received) }),
        };
        self.streams.send(stream).await.map_err(|_| anyhow::anyhow!("the connection is closed"))?;
        Ok(ClientStream { send, receive, reset })
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.closed.send_replace(true);
    }
}

struct MemoryCarrier {
    peer: Peer,
    address: SocketAddr,
    accepted: Mutex<mpsc::Receiver<Stream>>,
    /// Streams accepted; there are no packets to be counted.
    heard: AtomicU64,
    closed: watch::Sender<bool>,
}

impl fmt::Debug for MemoryCarrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCarrier").finish_non_exhaustive()
    }
}

impl Carrier for MemoryCarrier {
    fn open(&self) -> CarrierFuture<'_, Result<Stream, CarrierError>> {
        Box::pin(async { Err(CarrierError("gateways open no streams".to_owned())) })
    }

    fn accept(&self) -> CarrierFuture<'_, Result<Stream, CarrierError>> {
        Box::pin(async {
            let stream = self.accepted.lock().await.recv().await;
            self.heard.fetch_add(1, Ordering::Relaxed);
            stream.ok_or_else(|| CarrierError("the client is gone".to_owned()))
        })
    }

    fn peer(&self) -> Peer {
        self.peer
    }

    fn remote_address(&self) -> SocketAddr {
        self.address
    }

    fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    fn close(&self, _: u32, _: &str) {
        self.closed.send_replace(true);
    }

    fn closed(&self) -> CarrierFuture<'_, Closed> {
        Box::pin(async {
            // The sender is our own.
            let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
            Closed { code: None, reason: "closed".to_owned() }
        })
    }
}

struct Sending {
    pipe: Option<DuplexStream>,
    reset: Arc<OnceLock<Instant>>,
}

impl SendHalf for Sending {
    fn reset(&mut self, _: u32) {
        self.reset.get_or_init(Instant::now);
        self.pipe = None;
    }

    fn finish(&mut self) {
        self.pipe = None;
    }
}

impl AsyncWrite for Sending {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.pipe {
            Some(pipe) => Pin::new(pipe).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe = None;
        Poll::Ready(Ok(()))
    }
}

struct Receiving {
    pipe: Option<DuplexStream>,
}

impl ReceiveHalf for Receiving {
    fn stop(&mut self, _: u32) {
        self.pipe = None;
    }
}

impl AsyncRead for Receiving {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.pipe {
            Some(pipe) => Pin::new(pipe).poll_read(context, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

/// Bytes under way in one direction of a stream.
const PIPE: usize = 16 * 1024;
