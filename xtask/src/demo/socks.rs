//! A SOCKS5 client ([RFC 1928]) and the little HTTP the demo needs: what a user's browser would do.
//!
//! [RFC 1928]: https://www.rfc-editor.org/rfc/rfc1928

use std::{
    fmt,
    io::{self, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

/// Why no connection came about.
#[derive(Debug)]
pub enum ConnectError {
    /// The proxy refused with this reply.
    Refused(Reply),
    /// The connection to the proxy failed or gave no answer in time.
    Io(io::Error),
}

/// A SOCKS5 reply other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply(pub u8);

impl Reply {
    /// Connection not allowed by ruleset.
    pub const NOT_ALLOWED: Self = Self(2);
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            1 => "general failure",
            2 => "not allowed by ruleset",
            3 => "network unreachable",
            4 => "host unreachable",
            5 => "connection refused",
            6 => "time to live expired",
            _ => "an unusual reply",
        };
        write!(f, "{text} (SOCKS reply {})", self.0)
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reply) => write!(f, "refused: {reply}"),
            Self::Io(error) => write!(f, "no answer from the SOCKS port: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Connects through the proxy, by name or by address; a held connection waits up to `patience`.
///
/// # Errors
/// When the proxy refuses, fails or gives no answer in time.
pub fn connect(proxy: SocketAddr, host: &str, port: u16, patience: Duration) -> Result<TcpStream, ConnectError> {
    let mut stream = TcpStream::connect(proxy)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(&[VERSION, 1, NO_AUTHENTICATION])?;
    let mut choice = [0; 2];
    stream.read_exact(&mut choice)?;
    if choice != [VERSION, NO_AUTHENTICATION] {
        return Err(io::Error::other("the port does not speak SOCKS5 without authentication").into());
    }
    stream.write_all(&request(host, port)?)?;
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let [_, reply, _, kind] = head;
    if reply != 0 {
        return Err(ConnectError::Refused(Reply(reply)));
    }
    let mut bound = vec![0; if kind == ADDRESS_V6 { 18 } else { 6 }];
    stream.read_exact(&mut bound)?;
    Ok(stream)
}

fn request(host: &str, port: u16) -> io::Result<Vec<u8>> {
    let mut bytes = vec![VERSION, CONNECT, 0];
    match host.parse() {
        Ok(IpAddr::V4(address)) => {
            bytes.push(ADDRESS_V4);
            bytes.extend(address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            bytes.push(ADDRESS_V6);
            bytes.extend(address.octets());
        }
        Err(_) => {
            let length = u8::try_from(host.len()).map_err(|_| io::Error::other("the name is too long"))?;
            bytes.extend([NAME, length]);
            bytes.extend(host.as_bytes());
        }
    }
    bytes.extend(port.to_be_bytes());
    Ok(bytes)
}

/// Fetches a page through the proxy and answers its body.
///
/// # Errors
/// When no connection comes about or the answer is not a complete 200.
pub fn fetch(proxy: SocketAddr, host: &str, port: u16) -> Result<String> {
    let stream = connect(proxy, host, port, PATIENCE).with_context(|| format!("cannot reach {host}:{port}"))?;
    get_hello(stream)
}

/// Asks for `/hello` on an open connection and answers the body.
///
/// # Errors
/// When the answer is not a complete 200.
pub fn get_hello(mut stream: TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(PATIENCE)).context("cannot bound the answer")?;
    ask(&mut stream, "/hello").context("cannot ask")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("cannot read the answer")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer is no HTTP")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("the service answered `{}`", head.lines().next().unwrap_or_default());
    }
    Ok(body.trim_end().to_owned())
}

/// Sends a GET request.
///
/// # Errors
/// When it cannot be sent.
pub fn ask(stream: &mut TcpStream, path: &str) -> io::Result<()> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").as_bytes())
}

/// For connections that nothing holds.
pub const PATIENCE: Duration = Duration::from_secs(10);

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const CONNECT: u8 = 1;
const ADDRESS_V4: u8 = 1;
const NAME: u8 = 3;
const ADDRESS_V6: u8 = 4;
