//! Sockets to protected hosts: [`Dialer::dial`] is the only place that opens one, and it takes the permit by value.
//!
//! The gateway never dials loopback, link-local, multicast or its own addresses, whatever a rule or a name says, unless
//! its configuration lists the prefix (design 9). What is checked is the address dialled. Whether an address is the
//! gateway's own is asked of the kernel each time, so that one added a moment ago counts.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use engine::{rules::Protocol, session::Permit};
use ipnet::IpNet;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream, UdpSocket},
    time::timeout,
};

/// Opens sockets to protected hosts.
pub(crate) struct Dialer {
    allow: Vec<IpNet>,
    connect: Duration,
}

/// A socket to a protected host.
pub(crate) enum Upstream {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

/// Why a permitted host was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    /// The address is one the gateway never dials.
    #[error("the address belongs to what a gateway never dials")]
    Guarded,
    /// The host did not answer in time.
    #[error("the host does not answer")]
    NoAnswer,
    /// The host refused.
    #[error("the host refused the connection")]
    Refused,
    /// No way to the host.
    #[error("the host cannot be reached")]
    Unreachable(#[source] io::Error),
    /// Not a kind of traffic that can be dialled.
    #[error("this kind of traffic has no streams")]
    Protocol,
}

impl DialError {
    /// Stable code.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Guarded => "flow.guarded",
            Self::NoAnswer => "upstream.no-answer",
            Self::Refused => "upstream.refused",
            Self::Unreachable(_) => "upstream.unreachable",
            Self::Protocol => "flow.protocol",
        }
    }

    /// Plain language for the user, with what to do.
    pub(crate) fn message(&self) -> &'static str {
        match self {
            Self::Guarded => "the gateway never connects to this address; ask your administrator",
            Self::NoAnswer => "the host does not answer; check that it is running and try again",
            Self::Refused => "the host refused the connection; check the port and that the service is running",
            Self::Unreachable(_) => "the gateway cannot reach the host; try again, or ask your administrator",
            Self::Protocol => "this kind of traffic cannot be carried this way",
        }
    }
}

impl Dialer {
    pub(crate) fn new(allow: Vec<IpNet>, connect: Duration) -> Self {
        Self { allow, connect }
    }

    /// Connects to the one address and port of the permit.
    pub(crate) async fn dial(&self, permit: Permit) -> Result<Upstream, DialError> {
        let address = SocketAddr::new(permit.address().to_canonical(), permit.port());
        if !self.allows(address.ip()) {
            return Err(DialError::Guarded);
        }
        match permit.protocol() {
            Protocol::Tcp => self.dial_tcp(address).await.map(Upstream::Tcp),
            Protocol::Udp => dial_udp(address).await.map(Upstream::Udp),
            Protocol::Http | Protocol::Icmp | Protocol::Icmpv6 | Protocol::Ah | Protocol::Esp | Protocol::Gre => {
                Err(DialError::Protocol)
            }
        }
    }

    /// Whether the address may be dialled at all.
    fn allows(&self, address: IpAddr) -> bool {
        self.allow.iter().any(|net| net.contains(&address)) || !(is_special(address) || is_own(address))
    }

    async fn dial_tcp(&self, address: SocketAddr) -> Result<TcpStream, DialError> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
        let socket = socket.map_err(DialError::Unreachable)?;
        let stream = match timeout(self.connect, socket.connect(address)).await {
            Err(_) => return Err(DialError::NoAnswer),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => return Err(DialError::Refused),
            Ok(Err(error)) => return Err(DialError::Unreachable(error)),
            Ok(Ok(stream)) => stream,
        };
        let reference = SockRef::from(&stream);
        // Closing it aborts it, until both sides have said all: a cut upload must not look complete to the host.
        reference.set_linger(Some(Duration::ZERO)).map_err(DialError::Unreachable)?;
        // Small writes are not held back, and a host that vanished is noticed; a flow works without either.
        let _ = reference.set_tcp_nodelay(true);
        let _ = reference.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE));
        Ok(stream)
    }
}

async fn dial_udp(address: SocketAddr) -> Result<UdpSocket, DialError> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await.map_err(DialError::Unreachable)?;
    socket.connect(address).await.map_err(DialError::Unreachable)?;
    Ok(socket)
}

/// Loopback, link-local, multicast and what else is nobody's host. IPv4 addresses inside IPv6 ones count as what they
/// are.
fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => {
            let embedded = embedded_v4(address);
            address.is_unspecified()
                || address.is_loopback()
                || address.is_multicast()
                || address.is_unicast_link_local()
                || METADATA_V6.contains(&address)
                || embedded.is_some_and(is_special_v4)
        }
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    // 0/8 is this network, 240/4 is reserved and holds the broadcast address.
    let nobodys =
        first == 0 || first >= 240 || address.is_loopback() || address.is_link_local() || address.is_multicast();
    nobodys || METADATA_V4.contains(&address)
}

/// The IPv4 address inside a mapped, compatible, translated (64:ff9b::/96) or 6to4 (2002::/16) IPv6 one.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    if a == 0x2002 {
        return Some(Ipv4Addr::from((u32::from(b) << 16) | u32::from(c)));
    }
    let prefix = [a, b, c, d, e, f];
    let holds = [[0; 6], [0, 0, 0, 0, 0, 0xffff], [0x64, 0xff9b, 0, 0, 0, 0]].contains(&prefix);
    holds.then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

/// Whether the kernel lets a socket take the address, that is, whether it is the gateway's own. Any answer but "not
/// mine" counts as own.
fn is_own(address: IpAddr) -> bool {
    let bound = std::net::UdpSocket::bind(SocketAddr::new(address, 0));
    !matches!(bound, Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable)
}

/// Metadata services of clouds that are not link-local; they hand credentials to whoever reaches them from the machine.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 1] = [Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)];

const KEEP_ALIVE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(address: &str, allow: &[&str]) -> bool {
        let allow = allow.iter().map(|net| net.parse().unwrap()).collect();
        !Dialer::new(allow, Duration::from_secs(1)).allows(address.parse::<IpAddr>().unwrap().to_canonical())
    }

    #[test]
    fn what_is_never_dialled() {
        let never = [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "224.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "2002:7f00:1::1",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
        ];
        for address in never {
            assert!(guarded(address, &[]), "{address}");
        }
    }

    #[test]
    fn other_addresses_are_dialled_and_listed_prefixes_too() {
        assert!(!guarded("192.0.2.1", &[]));
        assert!(!guarded("127.0.0.1", &["127.0.0.0/8"]));
        assert!(!guarded("::ffff:127.0.0.1", &["127.0.0.0/8"]));
        assert!(guarded("169.254.169.254", &["127.0.0.0/8"]));
    }
}
