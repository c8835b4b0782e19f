//! Port forwards: a local port whose connections or datagrams all go to one protected destination.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    str::FromStr,
};

use protocol::message::{TargetHost, Transport};

use crate::flow::Target;

/// One forward; as text `[udp:][LOCALHOST:]LOCALPORT=HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Where local programs connect to; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Protected host: an address or a name that the gateway resolves.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// UDP instead of TCP.
    pub udp: bool,
}

impl Forward {
    pub(crate) fn target(&self) -> Target {
        let transport = if self.udp { Transport::Udp } else { Transport::Tcp };
        Target { transport, host: parse_host(&self.host), port: self.port }
    }
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let udp = if self.udp { "udp:" } else { "" };
        match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(host)) => write!(f, "{udp}{}=[{host}]:{}", self.listen, self.port),
            Ok(IpAddr::V4(_)) | Err(_) => write!(f, "{udp}{}={}:{}", self.listen, self.host, self.port),
        }
    }
}

/// A text that is no forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForwardError {
    /// There is no `=` between two ends.
    #[error(
        "`{0}` is not of the form `[udp:][LOCALHOST:]LOCALPORT=HOST:PORT`, for example `8080=intranet.example.com:80`"
    )]
    Shape(String),
    /// The local end is no port or address with port.
    #[error("`{0}` is not a local port, or a local address with a port")]
    Local(String),
    /// The far end is no host with a port.
    #[error("`{0}` is not a host with a port")]
    Remote(String),
}

impl ForwardError {
    /// Stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape(_) => "forward.shape",
            Self::Local(_) => "forward.local",
            Self::Remote(_) => "forward.remote",
        }
    }
}

impl FromStr for Forward {
    type Err = ForwardError;

    fn from_str(text: &str) -> Result<Self, ForwardError> {
        let (rest, udp) = text.strip_prefix("udp:").map_or((text, false), |rest| (rest, true));
        let (local, remote) = rest.split_once('=').ok_or_else(|| ForwardError::Shape(text.to_owned()))?;
        let listen = parse_local(local).ok_or_else(|| ForwardError::Local(local.to_owned()))?;
        let (host, port) = parse_remote(remote).ok_or_else(|| ForwardError::Remote(remote.to_owned()))?;
        Ok(Self { listen, host, port, udp })
    }
}

/// An address when the text is one, else a name.
pub(crate) fn parse_host(text: &str) -> TargetHost {
    text.parse().map_or_else(|_| TargetHost::Name(text.to_owned()), TargetHost::Address)
}

/// Whether a name may be sent to a gateway at all.
pub(crate) fn is_host_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !text.is_empty() && text.len() <= MAX_HOST_BYTES && text.bytes().all(plain)
}

fn parse_local(text: &str) -> Option<SocketAddr> {
    if let Ok(port) = text.parse::<u16>() {
        return Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    let text = text.strip_prefix("localhost:").map_or_else(|| text.to_owned(), |port| format!("127.0.0.1:{port}"));
    text.parse().ok()
}

fn parse_remote(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok()?.to_string(),
        None => Some(host).filter(|host| is_host_name(host))?.to_owned(),
    };
    Some((host, port))
}

/// Longest host name of the domain name system.
const MAX_HOST_BYTES: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = text.parse::<Forward>();
        let found = found.as_ref().map(ToString::to_string).map_err(ForwardError::code);
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn forwards_as_people_write_them() {
        check("8080=web.example.com:80", Ok("127.0.0.1:8080=web.example.com:80"));
        check("localhost:8080=10.0.0.1:80", Ok("127.0.0.1:8080=10.0.0.1:80"));
        check("0.0.0.0:8080=10.0.0.1:80", Ok("0.0.0.0:8080=10.0.0.1:80"));
        check("[::1]:0=[2001:db8::1]:443", Ok("[::1]:0=[2001:db8::1]:443"));
        check("udp:53=10.0.0.53:53", Ok("udp:127.0.0.1:53=10.0.0.53:53"));
    }

    #[test]
    fn broken_forwards_are_refused_with_their_reason() {
        check("8080", Err("forward.shape"));
        check("web=10.0.0.1:80", Err("forward.local"));
        check("70000=10.0.0.1:80", Err("forward.local"));
        check("=10.0.0.1:80", Err("forward.local"));
        check("8080=web", Err("forward.remote"));
        check("8080=web:0", Err("forward.remote"));
        check("8080=:80", Err("forward.remote"));
        check("8080=we b:80", Err("forward.remote"));
        check("8080=2001:db8::1:80", Err("forward.remote"));
        check("8080=[::g]:80", Err("forward.remote"));
    }

    #[test]
    fn a_name_stays_unresolved() {
        let forward: Forward = "8080=web.example.com:80".parse().unwrap();
        assert_eq!(forward.target().host, TargetHost::Name("web.example.com".to_owned()));
    }
}
