//! The SOCKS5 server (RFC 1928): no authentication, CONNECT and UDP ASSOCIATE, names passed on unresolved.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use fast_socks5::{
    ReplyError, Socks5Command, consts::SOCKS5_VERSION, parse_udp_request, server::Socks5ServerProtocol,
    util::target_addr::TargetAddr,
};
use protocol::message::{TargetHost, Transport};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
};

use crate::{
    copy::{CopyEnd, copy_tcp},
    event::ClientEvent,
    flow::{self, Denial, Target},
    forward::{is_host_name, parse_host},
    hub::Hub,
    udp::{MAX_DATAGRAM, UdpFlows},
};

/// Serves one connection of a local program.
pub(crate) async fn serve(hub: &Arc<Hub>, mut local: TcpStream) {
    let Ok(Some((command, address))) = tokio::time::timeout(HANDSHAKE, handshake(&mut local)).await else { return };
    match command {
        Socks5Command::TCPConnect => connect(hub, local, address).await,
        Socks5Command::UDPAssociate => associate(hub, local).await,
        Socks5Command::TCPBind => reply(&mut local, ReplyError::CommandNotSupported, NOWHERE).await,
    }
}

async fn handshake(local: &mut TcpStream) -> Option<(Socks5Command, TargetAddr)> {
    let protocol = Socks5ServerProtocol::accept_no_auth(local).await.ok()?;
    let (_, command, address) = protocol.read_command().await.ok()?;
    Some((command, address))
}

async fn connect(hub: &Arc<Hub>, mut local: TcpStream, address: TargetAddr) {
    let Some(target) = target(Transport::Tcp, address) else {
        return reply(&mut local, ReplyError::HostUnreachable, NOWHERE).await;
    };
    let opened = tokio::select! {
        opened = flow::open(hub, &target) => opened,
        () = left(&local) => return,
    };
    match opened {
        Ok(open) => {
            reply(&mut local, ReplyError::Succeeded, NOWHERE).await;
            if copy_tcp(local, open.stream).await == CopyEnd::Cut {
                hub.tell(ClientEvent::Cut { flow: target.to_string() });
            }
            drop(open.entry);
        }
        Err(denial) => reply(&mut local, reply_code(&denial), NOWHERE).await,
    }
}

/// Datagrams are taken from the address of the TCP connection only, and only while it lasts (RFC 1928, section 7).
async fn associate(hub: &Arc<Hub>, mut local: TcpStream) {
    let (Ok(here), Ok(peer)) = (local.local_addr(), local.peer_addr()) else { return };
    let Ok(socket) = UdpSocket::bind(SocketAddr::new(here.ip(), 0)).await.map(Arc::new) else {
        return reply(&mut local, ReplyError::GeneralFailure, NOWHERE).await;
    };
    let Ok(bound) = socket.local_addr() else { return };
    reply(&mut local, ReplyError::Succeeded, bound).await;
    let mut flows = UdpFlows::new(hub.clone(), socket.clone());
    let mut buffer = vec![0; MAX_DATAGRAM];
    let mut ignored = [0; 64];
    loop {
        tokio::select! {
            got = socket.recv_from(&mut buffer) => match got {
                Ok((length, from)) if from.ip() == peer.ip() => relay(&mut flows, from, buffer.get(..length).unwrap_or_default()).await,
                // Errors are answers to earlier datagrams to ports that are closed by now.
                Ok(_) | Err(_) => {}
            },
            got = local.read(&mut ignored) => if !matches!(got, Ok(1..)) { return },
            () = flows.reap() => {}
        }
    }
}

async fn relay(flows: &mut UdpFlows, from: SocketAddr, bytes: &[u8]) {
    let Ok((0, address, datagram)) = parse_udp_request(bytes).await else { return };
    let Ok(header) = fast_socks5::new_udp_header(address.clone()) else { return };
    if let Some(target) = target(Transport::Udp, address) {
        flows.deliver(from, target, header, datagram);
    }
}

fn target(transport: Transport, address: TargetAddr) -> Option<Target> {
    let (host, port) = match address {
        TargetAddr::Ip(address) => (TargetHost::Address(address.ip()), address.port()),
        TargetAddr::Domain(name, port) => {
            (Some(parse_host(&name)).filter(|_| name.parse::<IpAddr>().is_ok() || is_host_name(&name))?, port)
        }
    };
    (port != 0).then_some(Target { transport, host, port })
}

/// Ends when the program closes its side, which no program does that still waits for an answer.
async fn left(local: &TcpStream) {
    let mut byte = [0; 1];
    match local.peek(&mut byte).await {
        Ok(0) | Err(_) => {}
        Ok(_) => std::future::pending().await,
    }
}

fn reply_code(denial: &Denial) -> ReplyError {
    match denial.code.as_str() {
        "upstream.refused" => ReplyError::ConnectionRefused,
        code if code.starts_with("upstream.") || code.starts_with("name.") => ReplyError::HostUnreachable,
        _ if denial.is_gateway_away() => ReplyError::NetworkUnreachable,
        _ => ReplyError::ConnectionNotAllowed,
    }
}

async fn reply(local: &mut TcpStream, code: ReplyError, address: SocketAddr) {
    let mut bytes = vec![SOCKS5_VERSION, code.as_u8(), 0];
    bytes.extend(TargetAddr::Ip(address).to_be_bytes().unwrap_or_default());
    // A program that left gets no answer.
    let _ = local.write_all(&bytes).await;
}

const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

const HANDSHAKE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(code: &str, expected: u8) {
        assert_eq!(reply_code(&Denial { code: code.to_owned(), message: String::new() }).as_u8(), expected, "{code}");
    }

    #[test]
    fn denials_become_replies() {
        check("flow.no-rule", 2);
        check("anything.new", 2);
        check("name.unknown", 4);
        check("upstream.no-answer", 4);
        check("upstream.refused", 5);
        check("client.gateway-away", 3);
    }

    #[test]
    fn destinations_that_cannot_be_are_refused() {
        let domain = |name: &str, port| target(Transport::Tcp, TargetAddr::Domain(name.to_owned(), port));
        assert_eq!(domain("web.example.com", 0), None);
        assert_eq!(domain("", 80), None);
        assert_eq!(domain("a\nb", 80), None);
        assert_eq!(domain("web.example.com", 80).unwrap().to_string(), "web.example.com:80/tcp");
        assert_eq!(domain("10.0.0.1", 80).unwrap().host, TargetHost::Address("10.0.0.1".parse().unwrap()));
        assert_eq!(domain("::1", 80).unwrap().to_string(), "[::1]:80/tcp");
    }
}
