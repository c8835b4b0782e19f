//! What local programs see of flows: opened, held, refused, cut.

use std::{io::ErrorKind, net::SocketAddr};

use client::{ClientEvent, FlowState, Forward};
use fast_socks5::{ReplyError, SocksError};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::{
    gateway::{BLOCKED, ECHO, ELSEWHERE, HELD, STREAMING},
    user::{User, drain, echo},
    world::{PATIENCE, World},
};

fn forward(text: &str) -> Forward {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_tcp_connection_goes_through_socks_with_its_name_unresolved() {
    let world = World::start(&[1]);
    let user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("echo.test", ECHO).await.unwrap().get_socket();
    echo(&mut stream, "hello").await;
    world.logged("open site-1 Tcp echo.test 80", 1).await;
    stream.shutdown().await.unwrap();
    assert_eq!(drain(&mut stream).await, (0, None), "half-close must come back as a clean end");
    user.status_when(|status| status.flows.is_empty()).await;
}

#[tokio::test]
async fn a_refused_destination_is_told_to_socks_and_resets_a_forward() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |config| config.forwards = vec![forward("0=10.0.0.1:81")]).await;
    let error = user.socks("10.0.0.1", BLOCKED).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, SocksError::ReplyError(ReplyError::ConnectionNotAllowed)), "{error}");
    let ClientEvent::Denied { code, flow, .. } = user.event("denied").await else { panic!("no denial") };
    assert_eq!((code.as_str(), flow.as_str()), ("flow.blocked", "10.0.0.1:81/tcp"));
    let mut local = TcpStream::connect(user.listeners[1]).await.unwrap();
    assert_eq!(drain(&mut local).await, (0, Some(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_held_connection_waits_and_the_user_is_told_why() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |config| config.forwards = vec![forward("0=10.0.0.1:82")]).await;
    let mut local = TcpStream::connect(user.listeners[1]).await.unwrap();
    let ClientEvent::Held { message, .. } = user.event("held").await else { panic!("not held") };
    assert_eq!(message, "tell why you need this");
    let status = user.status_when(|status| status.flows.iter().any(|flow| flow.state == FlowState::Held)).await;
    assert_eq!(status.flows[0].message.as_deref(), Some("tell why you need this"));
    world.shared.release.send_replace(true);
    echo(&mut local, "released").await;
    assert_eq!(user.status().await.open_flows, 1);
    assert_eq!(status.flows[0].flow, format!("10.0.0.1:{HELD}/tcp"));
}

#[tokio::test]
async fn a_program_that_leaves_while_held_ends_the_attempt() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |_| ()).await;
    let address = user.listeners[0];
    let waiting = tokio::spawn(async move {
        fast_socks5::client::Socks5Stream::connect(address, "10.0.0.1".to_owned(), HELD, Default::default()).await
    });
    user.event("held").await;
    waiting.abort();
    user.status_when(|status| status.flows.is_empty()).await;
}

#[tokio::test]
async fn a_cut_connection_ends_with_a_reset_and_never_cleanly() {
    let world = World::start(&[1]);
    let mut user = User::start(&world, 1, |config| config.forwards = vec![forward("0=10.0.0.1:83")]).await;
    let mut through_socks = user.socks("10.0.0.1", STREAMING).await.unwrap().get_socket();
    let mut through_forward = TcpStream::connect(user.listeners[1]).await.unwrap();
    let mut some = [0; 4096];
    through_socks.read_exact(&mut some).await.unwrap();
    through_forward.read_exact(&mut some).await.unwrap();
    world.shared.cut.send_replace(true);
    assert_eq!(drain(&mut through_socks).await.1, Some(ErrorKind::ConnectionReset));
    assert_eq!(drain(&mut through_forward).await.1, Some(ErrorKind::ConnectionReset));
    let ClientEvent::Cut { flow } = user.event("cut").await else { panic!("no cut") };
    assert_eq!(flow, "10.0.0.1:83/tcp");
}

#[tokio::test]
async fn a_program_that_closes_ends_the_flow_at_the_gateway() {
    let world = World::start(&[1]);
    let user = User::start(&world, 1, |_| ()).await;
    let mut stream = user.socks("10.0.0.1", STREAMING).await.unwrap().get_socket();
    stream.read_exact(&mut [0; 1024]).await.unwrap();
    drop(stream);
    world.logged("streaming-ended-by-client", 1).await;
}

#[tokio::test]
async fn the_site_that_has_a_rule_is_found() {
    let world = World::start(&[1, 1]);
    let user = User::start(&world, 2, |_| ()).await;
    let mut stream = user.socks("10.0.0.1", ELSEWHERE).await.unwrap().get_socket();
    echo(&mut stream, "over there").await;
    assert_eq!(user.status().await.flows[0].site, "site-2");
    let mut stream = user.socks("10.0.0.1", ECHO).await.unwrap().get_socket();
    echo(&mut stream, "over here").await;
    world.logged("open site-1 Tcp 10.0.0.1 80", 1).await;
    assert_eq!(world.lines("open site-2 Tcp 10.0.0.1 80"), 0);
}

#[tokio::test]
async fn datagrams_go_through_a_socks_association() {
    let world = World::start(&[1]);
    let user = User::start(&world, 1, |_| ()).await;
    let mut control = TcpStream::connect(user.listeners[0]).await.unwrap();
    control.write_all(&[5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    let mut reply = [0; 12];
    control.read_exact(&mut reply).await.unwrap();
    assert_eq!(reply[..6], [5, 0, 5, 0, 0, 1]);
    let relay =
        SocketAddr::from(([reply[6], reply[7], reply[8], reply[9]], u16::from_be_bytes([reply[10], reply[11]])));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let header = [&[0, 0, 0, 3, 8][..], b"dns.test", &[0, 53]].concat();
    for text in ["abc", "defg"] {
        socket.send_to(&[&header, text.as_bytes()].concat(), relay).await.unwrap();
        let expected: Vec<u8> = header.iter().copied().chain(text.bytes().rev()).collect();
        assert_eq!(receive(&socket).await, expected);
    }
    world.logged("open site-1 Udp dns.test 53", 1).await;
    assert_eq!(world.lines("open"), 1, "one flow per destination");
    drop(control);
    user.status_when(|status| status.flows.is_empty()).await;
}

#[tokio::test]
async fn datagrams_go_through_a_forward() {
    let world = World::start(&[1]);
    let user = User::start(&world, 1, |config| config.forwards = vec![forward("udp:0=10.0.0.53:53")]).await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"question", user.listeners[1]).await.unwrap();
    assert_eq!(receive(&socket).await, b"noitseuq");
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 2048];
    let length = timeout(PATIENCE, socket.recv(&mut buffer)).await.expect("no datagram in time").unwrap();
    buffer.truncate(length);
    buffer
}
