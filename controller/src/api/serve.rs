//! The listener: TLS 1.3, bounded connections, bounded waits, and an end that lets running calls finish.

use std::{
    collections::HashMap,
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{Router, body::Body};
use http::Request;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::{
    api::{Api, caller::PeerAddress, router_of},
    state::Controller,
};

/// Serves the admin API until `shutdown` is ready; running calls get a while to finish, and records of reads are written.
pub async fn serve(
    controller: Arc<Controller>,
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    shutdown: impl Future<Output = ()>,
) {
    let api = Api::new(controller);
    let (stop, stopped) = watch::channel(false);
    let server = Server {
        connection: Connection { router: router_of(&api), acceptor: TlsAcceptor::from(tls), stopped },
        places: Arc::new(Semaphore::new(MAX_CONNECTIONS)),
        callers: Arc::default(),
        running: JoinSet::new(),
    };
    server.run(listener, shutdown, stop).await;
    api.reads.flush(api.controller.store.as_ref()).await;
}

struct Server {
    connection: Connection,
    places: Arc<Semaphore>,
    callers: Arc<Callers>,
    running: JoinSet<()>,
}

impl Server {
    async fn run(mut self, listener: TcpListener, shutdown: impl Future<Output = ()>, stop: watch::Sender<bool>) {
        tokio::pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                Some(_) = self.running.join_next() => {}
                accepted = accept(&listener, &self.places) => {
                    if let Some((stream, address, place)) = accepted {
                        self.start(stream, address.ip().to_canonical(), place);
                    }
                }
            }
        }
        drop(listener);
        stop.send_replace(true);
        // Every connection ends on its own within this time.
        while self.running.join_next().await.is_some() {}
    }

    fn start(&mut self, stream: TcpStream, address: IpAddr, place: OwnedSemaphorePermit) {
        let Some(seat) = Callers::seat(&self.callers, address) else {
            tracing::debug!("Admin connection refused: too many from one address");
            return;
        };
        let connection = self.connection.clone();
        self.running.spawn(async move {
            let _held = (place, seat);
            connection.serve(stream, address).await;
        });
    }
}

/// What one connection needs.
#[derive(Clone)]
struct Connection {
    router: Router,
    acceptor: TlsAcceptor,
    stopped: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, address: IpAddr) {
        let Self { router, acceptor, mut stopped } = self;
        let stream = tokio::select! {
            shaken = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => match shaken {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%error, "Handshake of an admin connection failed"),
                Err(_) => return,
            },
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(PeerAddress(address));
            router.clone().oneshot(request)
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(MAX_HEADER_BYTES);
        let mut running = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let ended = tokio::select! {
            ended = running.as_mut() => Some(ended),
            _ = stopped.wait_for(|stopped| *stopped) => None,
            // A client that stops reading its answers would otherwise keep its place for ever.
            () = sleep(MAX_AGE) => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                running.as_mut().graceful_shutdown();
                timeout(LAST_CALLS, running).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "Admin connection ended early");
        }
    }
}

/// How many connections each address has.
#[derive(Default)]
struct Callers(Mutex<HashMap<IpAddr, usize>>);

/// One connection of an address; counted until it is dropped.
struct Seat {
    callers: Arc<Callers>,
    address: IpAddr,
}

impl Callers {
    fn seat(callers: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let mut counts = callers.lock();
        let count = counts.entry(address).or_default();
        if *count >= MAX_CONNECTIONS_PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Seat { callers: Arc::clone(callers), address })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.callers.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Waits for a free place first, so that connections over the limit wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, address)) => {
            // Answers are small; waiting to fill a segment only delays them.
            let _ = stream.set_nodelay(true);
            Some((stream, address, place))
        }
        Err(error) => {
            tracing::warn!(%error, "Admin connection was not accepted");
            // Out of descriptors: without a pause this would spin until one is free.
            sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

const MAX_CONNECTIONS: usize = 512;
/// Many administrators and programs may share one address, but one address may not take every place.
const MAX_CONNECTIONS_PER_ADDRESS: usize = 256;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Also how long a connection may idle between two calls.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Tokens travel in headers; ours take about a kilobyte.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// After this a connection ends with the call it is at; clients open another.
const MAX_AGE: Duration = Duration::from_secs(600);
const LAST_CALLS: Duration = Duration::from_secs(5);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
