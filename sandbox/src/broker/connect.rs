//! Connections to addresses that were checked, and to nothing else.
//!
//! A name is looked up for each new connection, every address of the answer is checked, and what was checked is what is dialled:
//! a name server that answers differently the next time changes nothing (S 8.5 layer 7).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Stop;
use super::address::{self, Checked};
use super::lookup::Lookup;
use super::state::State;
use super::target::Target;
use crate::http::HttpFailure;

/// Bytes to and from a peer, over TLS or not.
pub(super) type Stream = Box<dyn Duplex>;

/// Both directions of a connection.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A new connection to where `target` leads, if it may be called.
pub(super) async fn connect(target: &Target, state: &State, lookup: &dyn Lookup) -> Result<Stream, Stop> {
    let checked = addresses(target, state, lookup).await?;
    let stream = dial(checked).await.ok_or(Stop::Failed(HttpFailure::Connect))?;
    // Requests go out in one piece; waiting for more only costs time. A socket that cannot is still good.
    let _ = stream.set_nodelay(true);
    if target.is_tls() { secure(target, stream, state.tls()).await } else { Ok(Box::new(stream)) }
}

/// Where `target` leads; refused when any of its addresses is.
async fn addresses(target: &Target, state: &State, lookup: &dyn Lookup) -> Result<Vec<Checked>, Stop> {
    let found = match target.host() {
        Some(Ok(address)) => vec![address],
        Some(Err(name)) => lookup.addresses(name).await,
        None => Vec::new(),
    };
    let mut checked = Vec::new();
    for address in found {
        let address = SocketAddr::new(address, target.port());
        let address = address::check(address, state.allow_networks(), state.refuse_addresses())
            .map_err(|forbidden| Stop::Refused(forbidden.to_string()))?;
        if !checked.contains(&address) && checked.len() < MAX_ADDRESSES {
            checked.push(address);
        }
    }
    if checked.is_empty() { Err(Stop::Failed(HttpFailure::Resolve)) } else { Ok(checked) }
}

/// The first connection that stands; an address that keeps silent delays the next one only a little
/// ([RFC 8305 section 5](https://www.rfc-editor.org/rfc/rfc8305#section-5)).
async fn dial(addresses: Vec<Checked>) -> Option<TcpStream> {
    let mut attempts = JoinSet::new();
    let mut rest = addresses.into_iter();
    loop {
        match rest.next() {
            Some(checked) => {
                attempts.spawn(TcpStream::connect(checked.address()));
            }
            None if attempts.is_empty() => return None,
            None => {}
        }
        let ended = if rest.len() == 0 {
            attempts.join_next().await
        } else {
            timeout(HEAD_START, attempts.join_next()).await.unwrap_or_default()
        };
        if let Some(Ok(Ok(stream))) = ended {
            return Some(stream);
        }
    }
}

async fn secure(target: &Target, stream: TcpStream, tls: Arc<ClientConfig>) -> Result<Stream, Stop> {
    let name = target.server_name().ok_or(Stop::Failed(HttpFailure::Certificate))?;
    match TlsConnector::from(tls).connect(name, stream).await {
        Ok(stream) => Ok(Box::new(stream)),
        Err(error) => {
            let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
            let untrusted = matches!(cause, Some(rustls::Error::InvalidCertificate(_)));
            Err(Stop::Failed(if untrusted { HttpFailure::Certificate } else { HttpFailure::Connect }))
        }
    }
}

/// Most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// How long an address has before the next one is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
