//! Dialling: names to addresses, one UDP socket per address family, bounded time per address, growing pauses.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use protocol::{
    carrier::SharedCarrier,
    quic::{Dialer, HandshakeCause, Limits, QuicError},
};
use tokio::net::UdpSocket;

/// The sockets a client dials from, and where it was told to dial instead.
pub(crate) struct Dialers {
    v4: Mutex<Option<Dialer>>,
    v6: Mutex<Option<Dialer>>,
    overrides: BTreeMap<String, SocketAddr>,
}

/// Why nobody was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DialFailure {
    pub(crate) cause: HandshakeCause,
    pub(crate) detail: String,
}

impl Dialers {
    pub(crate) fn new(overrides: BTreeMap<String, SocketAddr>) -> Self {
        Self { v4: Mutex::new(None), v6: Mutex::new(None), overrides }
    }

    /// Connects to `host:port`, address after address, until one proves `server_name`.
    pub(crate) async fn dial(
        &self,
        endpoint: &str,
        server_name: &str,
        tls: &rustls::ClientConfig,
    ) -> Result<SharedCarrier, DialFailure> {
        let mut failure = DialFailure::other("the name has no address");
        for address in self.resolve(endpoint).await?.into_iter().take(MAX_ADDRESSES) {
            match self.dial_address(address, server_name, tls).await {
                Ok(carrier) => return Ok(carrier),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Whether the host at the address says that nobody listens there. One that says nothing may be there or not.
    ///
    /// A socket of its own asks with one byte that is no packet, because the socket all connections share is not told.
    pub(crate) async fn is_refused(&self, address: SocketAddr) -> bool {
        let asked = async {
            let socket = UdpSocket::bind(any_local(address)).await?;
            socket.connect(address).await?;
            socket.send(&[0]).await?;
            socket.recv(&mut [0]).await
        };
        let heard = tokio::time::timeout(REFUSAL, asked).await;
        matches!(heard, Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused)
    }

    /// Waits a moment until closed connections have told their peers.
    pub(crate) async fn wait_idle(&self) {
        for slot in [&self.v4, &self.v6] {
            let dialer = slot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(dialer) = dialer {
                // Peers that do not answer find out by themselves.
                let _ = tokio::time::timeout(GOODBYE, dialer.wait_idle()).await;
            }
        }
    }

    async fn resolve(&self, endpoint: &str) -> Result<Vec<SocketAddr>, DialFailure> {
        if let Some(address) = self.overrides.get(endpoint) {
            return Ok(vec![*address]);
        }
        let lookup = tokio::time::timeout(RESOLVE, tokio::net::lookup_host(endpoint)).await;
        match lookup {
            Ok(Ok(addresses)) => Ok(addresses.collect()),
            Ok(Err(error)) => Err(DialFailure::other(&format!("its name cannot be resolved: {error}"))),
            Err(_) => Err(DialFailure::other("its name cannot be resolved in time")),
        }
    }

    async fn dial_address(
        &self,
        address: SocketAddr,
        server_name: &str,
        tls: &rustls::ClientConfig,
    ) -> Result<SharedCarrier, DialFailure> {
        let dialer = self.dialer(address)?;
        let dialing = dialer.dial(address, server_name, tls.clone(), LIMITS);
        let no_answer = |detail| DialFailure { cause: HandshakeCause::NoAnswer, detail };
        tokio::select! {
            dialled = tokio::time::timeout(HANDSHAKE, dialing) => match dialled {
                Ok(Ok(carrier)) => Ok(carrier),
                Ok(Err(error)) => Err(DialFailure { cause: error.cause(), detail: describe(&error) }),
                Err(_) => Err(no_answer(format!("{address} does not answer"))),
            },
            () = self.refused(address) => Err(no_answer(format!("nothing listens at {address}"))),
        }
    }

    /// Resolves when a host that has not answered for a moment says that nobody listens there.
    async fn refused(&self, address: SocketAddr) {
        tokio::time::sleep(FIRST_ANSWER).await;
        if !self.is_refused(address).await {
            std::future::pending().await
        }
    }

    fn dialer(&self, address: SocketAddr) -> Result<Dialer, DialFailure> {
        let slot = match address {
            SocketAddr::V4(_) => &self.v4,
            SocketAddr::V6(_) => &self.v6,
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dialer) = slot.as_ref() {
            return Ok(dialer.clone());
        }
        let dialer = Dialer::bind(any_local(address)).map_err(|error| DialFailure::other(&describe(&error)))?;
        *slot = Some(dialer.clone());
        Ok(dialer)
    }
}

impl DialFailure {
    fn other(detail: &str) -> Self {
        Self { cause: HandshakeCause::Other, detail: detail.to_owned() }
    }
}

/// Growing pauses with jitter, so that clients that lost the same gateway do not return as one.
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// The pause before the next attempt: between half and all of a bound that doubles.
    pub(crate) fn pause(&mut self) -> Duration {
        let bound = self.next;
        self.next = (bound * 2).min(self.most);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }

    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Any free local port of the address's family.
fn any_local(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    }
}

fn describe(error: &QuicError) -> String {
    let source = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    format!("{error}{source}")
}

/// A stall of the network shorter than 10 s ends nothing; a gateway that is gone is left sooner, see `link::silence`. A show
/// of life every 3 s costs some 40 bytes. Peers open no streams to clients.
const LIMITS: Limits =
    Limits { streams: 0, idle: Duration::from_secs(10), keep_alive: Duration::from_secs(3), ..Limits::DEFAULT };

const RESOLVE: Duration = Duration::from_secs(5);
const HANDSHAKE: Duration = Duration::from_secs(5);

/// A first answer takes a round trip; only a host that has not given one by then is asked whether anybody listens.
const FIRST_ANSWER: Duration = Duration::from_millis(300);
const REFUSAL: Duration = Duration::from_millis(500);
const GOODBYE: Duration = Duration::from_millis(500);

/// Addresses tried of one name.
const MAX_ADDRESSES: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_nobody_listens_on_is_told_from_a_silent_one() {
        let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = silent.local_addr().unwrap();
        let dialers = Dialers::new(BTreeMap::new());
        assert!(!dialers.is_refused(address).await, "somebody listens, and says nothing");
        drop(silent);
        assert!(dialers.is_refused(address).await);
    }

    #[test]
    fn pauses_grow_to_their_bound_and_start_over() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4));
        for bound in [1, 2, 4, 4] {
            let pause = backoff.pause();
            assert!(pause >= Duration::from_secs(bound) / 2 && pause <= Duration::from_secs(bound), "{pause:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_secs(1));
    }
}
