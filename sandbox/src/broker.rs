//! The broker: carries the HTTP calls of scripts out, for workers that have no network themselves.
//!
//! A call may be refused for where it leads, never for what it carries. What it never does: dial an address it has not checked,
//! use a proxy, keep cookies, offer compression, follow a redirect to another host, or let a script set what frames a message.
//! Rules: S 8.5 layer 7 for addresses, D 7.3 and D 35 for everything else; where they are silent:
//!
//! - redirects are followed for `GET`, and as `GET` after 303, at most 5 times, to the same origin or from `http` to `https` at the same host;
//!   any other redirect is the script's answer, with its 3xx status;
//! - a call over its bounds of concurrency waits on its own time.
//!
//! INVARIANTS:
//! - every address a connection is made to was checked by [`address::check`] for that very connection;
//! - every hop of a call goes to an allowed origin, when the run names a secret that has some;
//! - errors hold nothing of a call but, where a secret may not go, the origin; log lines hold nothing of it, since only the supervisor
//!   knows which parts are secret.

pub(crate) mod address;
mod connect;
mod err;
mod exchange;
mod lookup;
mod permits;
mod pool;
mod request;
mod state;
pub(crate) mod target;
mod trust;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use tokio::time::timeout;

use crate::http::{HttpBackend, HttpFailure, HttpFuture, HttpOutcome, HttpRequest};
use crate::secrets::Origin;
use exchange::{Answer, Link, NoAnswer};
use permits::Permits;
use request::Hop;
use state::State;

pub use err::BrokerError;
pub(crate) use err::Stop;
pub use lookup::{Lookup, LookupFuture, SystemLookup};

/// Settings of a [`Broker`].
#[derive(Clone)]
pub struct BrokerConfig {
    /// Loopback, private, carrier-grade NAT, unique local and site-local networks that scripts may call; default none.
    /// Whatever is listed, metadata services, link-local, multicast and reserved addresses stay closed.
    pub allow_networks: Vec<IpNet>,
    /// The program's own listeners, refused also within `allow_networks`; default none.
    /// An unspecified address such as `0.0.0.0:443` means this port at every address of the machine.
    pub refuse_addresses: Vec<SocketAddr>,
    /// Certificates trusted beside the system's authorities; default none.
    pub trusted: Vec<CertificateDer<'static>>,
    /// Calls at once; default 256. Up to three times as many may wait.
    pub calls: usize,
    /// Calls at once to one origin; default 64, as many as the sandbox lets wait: a run that has its place must not spend the time of
    /// its call in a queue.
    pub calls_per_origin: usize,
    /// Looks names up; default the system's resolver.
    pub lookup: Arc<dyn Lookup>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self {
            allow_networks: Vec::new(),
            refuse_addresses: Vec::new(),
            trusted: Vec::new(),
            calls: 256,
            calls_per_origin: 64,
            lookup: Arc::new(SystemLookup::new()),
        }
    }
}

impl fmt::Debug for BrokerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerConfig")
            .field("allow_networks", &self.allow_networks)
            .field("refuse_addresses", &self.refuse_addresses)
            .finish_non_exhaustive()
    }
}

/// Carries calls out. To be shared: bounds and kept connections are per broker.
pub struct Broker {
    state: RwLock<Arc<State>>,
    public_roots: RootCertStore,
    permits: Permits,
    lookup: Arc<dyn Lookup>,
}

impl Broker {
    /// A broker with these rules; reads the system's certificate authorities.
    ///
    /// # Errors
    /// When a trusted certificate cannot be used.
    pub fn new(config: BrokerConfig) -> Result<Self, BrokerError> {
        let BrokerConfig { allow_networks, refuse_addresses, trusted, calls, calls_per_origin, lookup } = config;
        let public_roots = trust::public_roots();
        let state = State::new(&public_roots, trusted, allow_networks, refuse_addresses.into())?;
        let permits = Permits::new(calls, calls_per_origin);
        Ok(Self { state: RwLock::new(Arc::new(state)), public_roots, permits, lookup })
    }

    /// Replaces whom the broker trusts and which networks it may call. Calls that have begun end under the old rules;
    /// connections kept from before are not used again.
    ///
    /// # Errors
    /// When a trusted certificate cannot be used; nothing has changed then.
    pub fn update(&self, trusted: Vec<CertificateDer<'static>>, allow_networks: Vec<IpNet>) -> Result<(), BrokerError> {
        let refuse_addresses = self.state().refuse_addresses().into();
        let state = State::new(&self.public_roots, trusted, allow_networks, refuse_addresses)?;
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(state);
        Ok(())
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The whole call, without a bound on its time.
    async fn carry(&self, first: Hop, allowed_origins: Option<&[Origin]>) -> Result<Answer, Stop> {
        let state = self.state();
        let mut hop = first;
        let mut redirects = 0;
        loop {
            let origin = hop.target().origin();
            check_origin(origin, allowed_origins)?;
            let permit = self.permits.acquire(origin).await.ok_or(Stop::Failed(HttpFailure::Timeout))?;
            let answer = self.ask(&hop, &state).await?;
            drop(permit);
            match hop.after(&answer) {
                Some(next) if redirects < MAX_REDIRECTS => hop = next,
                Some(_) | None => return Ok(answer),
            }
            redirects += 1;
        }
    }

    /// One request: on a kept connection if there is one, else, or when that one turns out to be dead, on a new one.
    async fn ask(&self, hop: &Hop, state: &State) -> Result<Answer, Stop> {
        let origin = hop.target().origin();
        let mut request = hop.request()?;
        if let Some(mut link) = state.pool.take(origin, Instant::now()) {
            request = match link.exchange(request).await {
                Ok(answer) => {
                    state.pool.keep(origin, link, Instant::now());
                    return Ok(answer);
                }
                Err(NoAnswer::NotSent(request)) => *request,
                Err(NoAnswer::NothingBack) if hop.is_repeatable() => hop.request()?,
                Err(no_answer) => return Err(no_answer.into()),
            };
        }
        let stream = connect::connect(hop.target(), state, &*self.lookup).await?;
        let mut link = Link::new(stream).await?;
        let answer = link.exchange(request).await?;
        state.pool.keep(origin, link, Instant::now());
        Ok(answer)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("allow_networks", &self.state().allow_networks()).finish_non_exhaustive()
    }
}

impl HttpBackend for Broker {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(async move {
            let ended = match Hop::first(&request) {
                Ok(hop) => {
                    let work = self.carry(hop, request.allowed_origins.as_deref());
                    timeout(request.timeout, work).await.unwrap_or(Err(Stop::Failed(HttpFailure::Timeout)))
                }
                Err(stop) => Err(stop),
            };
            outcome(ended)
        })
    }
}

fn check_origin(origin: &Origin, allowed: Option<&[Origin]>) -> Result<(), Stop> {
    match allowed {
        Some(allowed) if !allowed.contains(origin) => Err(Stop::Refused(format!(
            "a secret of this script may not be sent to {origin}; add it to the secret's allowed origins if it should be"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn outcome(ended: Result<Answer, Stop>) -> HttpOutcome {
    match ended {
        Ok(answer) => {
            HttpOutcome::Answer { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned() }
        }
        Err(stop) => stop.into(),
    }
}

/// Most redirects that are followed; the answer after the last is the script's, whatever it is.
const MAX_REDIRECTS: usize = 5;
