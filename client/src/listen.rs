//! Local ports: bound before sign-in, so that a taken one is known at once; served after it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    task::JoinSet,
};

use crate::{
    config::ClientConfig,
    copy::{CopyEnd, abort_on_close, copy_tcp},
    err::ClientError,
    event::ClientEvent,
    flow::{self, Target},
    hub::Hub,
    socks,
    status::ListenerStatus,
    udp::{MAX_DATAGRAM, UdpFlows},
};

/// The local ports of a client.
pub(crate) struct Listeners(Vec<Listener>);

enum Listener {
    Socks(TcpListener),
    Tcp(TcpListener, Target),
    Udp(UdpSocket, Target),
}

impl Listeners {
    pub(crate) async fn bind(config: &ClientConfig) -> Result<Self, ClientError> {
        let mut listeners = Vec::new();
        if let Some(address) = config.socks {
            listeners.push(Listener::Socks(bind_tcp(address).await?));
        }
        for forward in &config.forwards {
            let target = forward.target();
            listeners.push(if forward.udp {
                let socket = UdpSocket::bind(forward.listen).await;
                Listener::Udp(socket.map_err(|source| ClientError::Listen { address: forward.listen, source })?, target)
            } else {
                Listener::Tcp(bind_tcp(forward.listen).await?, target)
            });
        }
        Ok(Self(listeners))
    }

    /// What is bound, for the status and the user.
    pub(crate) fn announce(&self, hub: &Hub) {
        for listener in &self.0 {
            let (address, purpose) = match listener {
                Listener::Socks(socket) => (socket.local_addr(), "SOCKS5".to_owned()),
                Listener::Tcp(socket, target) => (socket.local_addr(), target.to_string()),
                Listener::Udp(socket, target) => (socket.local_addr(), target.to_string()),
            };
            let Ok(address) = address.map(|address| address.to_string()) else { continue };
            hub.board.update(|status| {
                status.listeners.push(ListenerStatus { purpose: purpose.clone(), address: address.clone() })
            });
            hub.tell(ClientEvent::Listening { purpose, address });
        }
    }

    /// Serves all of them until dropped.
    pub(crate) fn serve(self, hub: &Arc<Hub>) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        for listener in self.0 {
            let hub = hub.clone();
            match listener {
                Listener::Socks(socket) => tasks.spawn(accept(socket, room.clone(), move |local| {
                    let hub = hub.clone();
                    async move { socks::serve(&hub, local).await }
                })),
                Listener::Tcp(socket, target) => tasks.spawn(accept(socket, room.clone(), move |local| {
                    let (hub, target) = (hub.clone(), target.clone());
                    async move { forward(&hub, local, &target).await }
                })),
                Listener::Udp(socket, target) => tasks.spawn(forward_udp(hub, Arc::new(socket), target)),
            };
        }
        tasks
    }
}

async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, ClientError> {
    TcpListener::bind(address).await.map_err(|source| ClientError::Listen { address, source })
}

async fn accept<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    room: Arc<Semaphore>,
    serve: impl Fn(TcpStream) -> F + Send,
) {
    let mut connections = JoinSet::new();
    loop {
        // Without room the backlog of the socket waits.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((local, _)) => {
                    let serving = serve(local);
                    connections.spawn(async move {
                        serving.await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::debug!(%error, "Local connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// A local program knows nothing of gateways: what is refused or cut is a reset connection.
async fn forward(hub: &Arc<Hub>, local: TcpStream, target: &Target) {
    abort_on_close(&local);
    let Ok(open) = flow::open(hub, target).await else { return };
    if copy_tcp(local, open.stream).await == CopyEnd::Cut {
        hub.tell(ClientEvent::Cut { flow: target.to_string() });
    }
    drop(open.entry);
}

async fn forward_udp(hub: Arc<Hub>, socket: Arc<UdpSocket>, target: Target) {
    let mut flows = UdpFlows::new(hub, socket.clone());
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        tokio::select! {
            got = socket.recv_from(&mut buffer) => match got {
                Ok((length, from)) => flows.deliver(from, target.clone(), Vec::new(), buffer.get(..length).unwrap_or_default()),
                // An answer to an earlier datagram to a local port that is closed by now.
                Err(error) => tracing::debug!(%error, "Local datagram could not be received"),
            },
            () = flows.reap() => {}
        }
    }
}

/// Local connections at once, over all ports.
const MAX_CONNECTIONS: usize = 1024;

/// Running out of file descriptors must not turn into a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
