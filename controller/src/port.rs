//! The client port: clients and gateways speak `protocol` here, over QUIC.
//!
//! A connection is a task, a stream is a task inside it, and both are bounded: connections in all and per address, streams
//! per connection, bytes and time per request, requests without a certificate per address, and what writes per session.
//! When a connection ends, its streams end with it.

mod limit;
mod request;
mod session;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use engine::id::SessionId;
use protocol::{
    carrier::{SharedCarrier, Stream},
    message::close_code,
    quic::{Incoming, Limits, Listener},
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use crate::state::Controller;
use limit::{Connections, Rate};

/// What all connections of the port share.
pub(crate) struct Port {
    controller: Arc<Controller>,
    connections: Connections,
    anonymous: Rate<IpAddr>,
    writes: Rate<SessionId>,
    downloads: Rate<SessionId>,
}

/// The bounds of a connection, as the listener needs them.
pub(crate) fn limits(streams: u32) -> Limits {
    // Requests are small, and anybody may connect: what a connection can make this end hold is little.
    Limits { streams, stream_window: 128 * 1024, window: 256 * 1024, ..Limits::DEFAULT }
}

/// Accepts until `stop` changes, then closes everything.
pub(crate) async fn serve(controller: Arc<Controller>, listener: Listener, mut stop: watch::Receiver<bool>) {
    let bounds = controller.settings.limits;
    let port = Arc::new(Port {
        connections: Connections::new(bounds.connections, bounds.connections_per_address),
        anonymous: Rate::new(bounds.anonymous_burst, bounds.anonymous_per_second),
        writes: Rate::new(WRITES_AT_ONCE, WRITES_PER_SECOND),
        downloads: Rate::new(DOWNLOADS_AT_ONCE, DOWNLOADS_PER_SECOND),
        controller,
    });
    let mut tasks = JoinSet::new();
    loop {
        let incoming = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                note_panic(ended);
                continue;
            }
            incoming = listener.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let Some(place) = port.connections.enter(incoming.remote_address().ip()) else {
            incoming.refuse();
            continue;
        };
        let port = port.clone();
        tasks.spawn(async move {
            port.serve_connection(incoming).await;
            drop(place);
        });
    }
    listener.close(close_code::SHUTDOWN, "controller stops");
    tasks.shutdown().await;
}

impl Port {
    async fn serve_connection(self: Arc<Self>, incoming: Incoming) {
        let Ok(Ok(carrier)) = timeout(HANDSHAKE_TIMEOUT, incoming.finish()).await else {
            tracing::debug!("Handshake failed");
            return;
        };
        let mut streams = JoinSet::new();
        loop {
            tokio::select! {
                Some(ended) = streams.join_next(), if !streams.is_empty() => note_panic(ended),
                stream = carrier.accept() => {
                    let Ok(stream) = stream else { break };
                    let port = self.clone();
                    let carrier = carrier.clone();
                    streams.spawn(async move { port.serve_stream(&carrier, stream).await });
                }
            }
        }
        streams.shutdown().await;
    }

    async fn serve_stream(&self, carrier: &SharedCarrier, stream: Stream) {
        let began = Instant::now();
        if let Err(error) = request::serve(self, carrier, stream).await {
            let error = crate::refusal::chain(&error);
            tracing::debug!(%error, duration_us = began.elapsed().as_micros(), "Stream ended");
        }
    }

    /// Whether one more request without a certificate is served now.
    fn admit_anonymous(&self, address: IpAddr) -> Result<(), Duration> {
        self.anonymous.take(limit::source(address), Instant::now())
    }

    /// Whether one more request of a session that writes is served now.
    fn admit_write(&self, session: SessionId) -> Result<(), Duration> {
        self.writes.take(session, Instant::now())
    }

    /// Whether one more file is sent to a session now.
    fn admit_download(&self, session: SessionId) -> Result<(), Duration> {
        self.downloads.take(session, Instant::now())
    }
}

fn note_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "Task of the client port panicked");
    }
}

/// Requests of a session that write, at once and in the long run. A renewal is three of them; whoever answers what several
/// conditions ask for makes a dozen. Each one is rows and audit records that stay.
const WRITES_AT_ONCE: u32 = 30;
const WRITES_PER_SECOND: u32 = 1;

/// Files of a session, at once and in the long run: a first sign-in fetches every device script of its provider.
const DOWNLOADS_AT_ONCE: u32 = 200;
const DOWNLOADS_PER_SECOND: u32 = 5;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
