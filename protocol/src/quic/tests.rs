//! What the carrier promises about addresses and memory, over real sockets.

use std::{
    net::{Ipv4Addr, UdpSocket},
    task::Poll,
};

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use zeroize::Zeroizing;

use super::*;
use crate::tls::{AuthorityPin, CONTROLLER_NAME, ClientCertificates, Identity, client_config, server_config};

const PATIENCE: Duration = Duration::from_secs(10);

/// Two ends of one connection.
struct Pair {
    _listener: Listener,
    dialer: Dialer,
    server: SharedCarrier,
    client: SharedCarrier,
}

impl Pair {
    async fn new(limits: Limits) -> Self {
        let (identity, authority) = server_identity();
        let tls = server_config(&identity, &authority, ClientCertificates::Unused, CONTROLLER_ALPN).unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = Listener::bind(any, tls, limits).unwrap();
        let dialer = Dialer::bind(any).unwrap();
        let tls = client_config(AuthorityPin::of(&authority), None, CONTROLLER_ALPN).unwrap();
        let address = listener.local_address().unwrap();
        let accept = async { listener.accept().await.unwrap().finish().await.unwrap() };
        let (client, server) = tokio::join!(dialer.dial(address, CONTROLLER_NAME, tls, limits), accept);
        Self { _listener: listener, dialer, server, client: client.unwrap() }
    }

    /// A word from client to server and back.
    async fn exchange(&self) -> std::io::Result<()> {
        let mut near = self.client.open().await.map_err(std::io::Error::other)?;
        near.send.write_all(b"ping").await?;
        let mut far = self.server.accept().await.map_err(std::io::Error::other)?;
        let mut word = [0; 4];
        far.receive.read_exact(&mut word).await?;
        far.send.write_all(&word).await?;
        near.receive.read_exact(&mut word).await.map(drop)
    }
}

fn server_identity() -> (Identity, CertificateDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let authority = params.self_signed(&key).unwrap().der().clone();
    let issuer = Issuer::from_ca_cert_der(&authority, key).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::DnsName(CONTROLLER_NAME.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    (Identity { certificate, key: Zeroizing::new(key.serialize_der()) }, authority)
}

/// Writes until the other end has to read before more is taken.
async fn fill(stream: &mut Stream) -> usize {
    let piece = [0; 4096];
    let mut written = 0;
    while let Some(bytes) =
        std::future::poll_fn(|context| match Pin::new(&mut stream.send).poll_write(context, &piece) {
            Poll::Ready(result) => Poll::Ready(Some(result.unwrap())),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    {
        written += bytes;
    }
    written
}

#[tokio::test]
async fn a_connection_does_not_follow_its_client_to_another_address() {
    let limits = Limits { idle: Duration::from_secs(1), keep_alive: Duration::from_millis(200), ..Limits::DEFAULT };
    let pair = Pair::new(limits).await;
    timeout(PATIENCE, pair.exchange()).await.unwrap().unwrap();
    let before = pair.server.remote_address();
    pair.dialer.endpoint.rebind(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap()).unwrap();
    let moved = timeout(PATIENCE, pair.exchange()).await.expect("the connection is given up");
    assert!(moved.is_err(), "an exchange from another address went through");
    let closed = timeout(PATIENCE, pair.server.closed()).await.expect("the server gives the connection up");
    assert_eq!(closed.code, None, "{closed:?}");
    assert_eq!(pair.server.remote_address(), before);
}

#[tokio::test]
async fn a_peer_makes_the_other_end_hold_no_more_than_the_receive_windows() {
    let limits = Limits { streams: 8, stream_window: 16 * 1024, window: 64 * 1024, ..Limits::DEFAULT };
    let pair = Pair::new(limits).await;
    let mut streams = Vec::new();
    let mut held = Vec::new();
    for _ in 0..8 {
        let mut stream = timeout(PATIENCE, pair.client.open()).await.unwrap().unwrap();
        held.push(fill(&mut stream).await);
        streams.push(stream);
    }
    assert_eq!(held, [16 * 1024, 16 * 1024, 16 * 1024, 16 * 1024, 0, 0, 0, 0]);
    let mut far = timeout(PATIENCE, pair.server.accept()).await.unwrap().unwrap();
    let mut read = vec![0; 16 * 1024];
    timeout(PATIENCE, far.receive.read_exact(&mut read)).await.unwrap().unwrap();
    let last = streams.last_mut().unwrap();
    timeout(PATIENCE, last.send.write_all(b"room again")).await.unwrap().unwrap();
}

/// Datagrams between a client and one of two servers; the other is not heard.
async fn relay(servers: [SocketAddr; 2]) -> (SocketAddr, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (address, chosen) = (socket.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let current = chosen.clone();
    tokio::spawn(async move {
        let (mut client, mut buffer) = (None, vec![0; 65_536]);
        loop {
            let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
            let server = servers[current.load(Ordering::Relaxed)];
            let to = if servers.contains(&from) { client.filter(|_| from == server) } else { Some(server) };
            if !servers.contains(&from) {
                client = Some(from);
            }
            if let Some(to) = to {
                socket.send_to(&buffer[..length], to).await.unwrap();
            }
        }
    });
    (address, chosen)
}

#[tokio::test]
async fn a_server_that_was_started_again_ends_what_its_earlier_process_left_open() {
    let limits = Limits { keep_alive: Duration::from_millis(500), ..Limits::DEFAULT };
    let (identity, authority) = server_identity();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let bind = |secret: &[u8]| {
        let tls = server_config(&identity, &authority, ClientCertificates::Unused, CONTROLLER_ALPN).unwrap();
        Listener::bind_lasting(any, tls, limits, secret).unwrap()
    };
    for (secret, resets) in [("the same", true), ("another", false)] {
        let (first, second) = (bind(b"the same"), bind(secret.as_bytes()));
        let (address, chosen) = relay([&first, &second].map(|server| server.local_address().unwrap())).await;
        let dialer = Dialer::bind(any).unwrap();
        let tls = client_config(AuthorityPin::of(&authority), None, CONTROLLER_ALPN).unwrap();
        let accept = async { first.accept().await.unwrap().finish().await.unwrap() };
        let (client, _server) = tokio::join!(dialer.dial(address, CONTROLLER_NAME, tls, limits), accept);
        let client = client.unwrap();
        chosen.store(1, std::sync::atomic::Ordering::Relaxed);
        let closed = timeout(Duration::from_secs(3), client.closed()).await;
        assert_eq!(closed.is_ok(), resets, "{secret}: {closed:?}");
        assert!(closed.is_err() || closed.is_ok_and(|closed| closed.code.is_none()), "it counts as lost");
    }
}
