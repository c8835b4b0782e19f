//! From names to addresses.
//!
//! [`Resolver`] is the one way to ask; [`names::Names`] keeps answers for as long as they say, and looks names that
//! sessions use up again. Every answer is bounded, every question ends in an answer or a typed error in time.

mod history;
pub(crate) mod names;
pub(crate) mod site;

use std::{collections::BTreeSet, future::Future, net::IpAddr, pin::Pin, time::Duration};

/// An answer on its way.
pub(crate) type ResolverFuture<'a> = Pin<Box<dyn Future<Output = Result<Resolved, ResolveError>> + Send + 'a>>;

/// Resolves names, once per question and without a memory.
pub(crate) trait Resolver: Send + Sync + 'static {
    /// The addresses of a host name in lower case.
    fn resolve<'a>(&'a self, name: &'a str) -> ResolverFuture<'a>;

    /// How often an answer for the name is to be looked up again.
    fn interval(&self, name: &str) -> Duration;
}

/// What a name resolves to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// At least one and at most [`MAX_ADDRESSES`] addresses; IPv4 ones in IPv4 form.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// For how long they may be kept.
    pub(crate) ttl: Duration,
    /// Whether there were more addresses than are taken.
    pub(crate) truncated: bool,
}

/// Why a name has no addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResolveError {
    /// There is no such name, or it has no addresses.
    #[error("the name does not exist or has no address")]
    NoSuchName,
    /// No server answered in time.
    #[error("no name server answered in time")]
    NoAnswer,
    /// The servers failed or could not be asked.
    #[error("the name servers failed")]
    ServersFailed,
    /// Rules are about more names or addresses than the gateway keeps.
    #[error("there are more names and addresses in rules than the gateway keeps; use fewer names, or networks")]
    TooMany,
}

impl ResolveError {
    /// Stable code.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NoSuchName => "name.unknown",
            Self::NoAnswer => "name.no-answer",
            Self::ServersFailed => "name.servers-failed",
            Self::TooMany => "name.too-many",
        }
    }
}

impl Resolved {
    /// Takes in addresses of any number and form; none is an error.
    pub(crate) fn new(addresses: impl IntoIterator<Item = IpAddr>, ttl: Duration) -> Result<Self, ResolveError> {
        let all: BTreeSet<IpAddr> = addresses.into_iter().map(|address| address.to_canonical()).collect();
        if all.is_empty() {
            return Err(ResolveError::NoSuchName);
        }
        let truncated = all.len() > MAX_ADDRESSES;
        Ok(Self { addresses: all.into_iter().take(MAX_ADDRESSES).collect(), ttl, truncated })
    }
}

/// Most addresses taken of one name; more would be rules of one session for a whole network.
pub(crate) const MAX_ADDRESSES: usize = 10_000;
