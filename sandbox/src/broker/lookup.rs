//! Names to addresses: the system's servers and its hosts file, or whatever stands in for them.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts};

/// The addresses of a name, later; none when it has none, or when nobody says.
pub type LookupFuture<'a> = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send + 'a>>;

/// Looks names up. Nothing it answers is trusted: every address is checked before it is dialled.
pub trait Lookup: Send + Sync {
    /// Every address of `name`, which is in lower case and in ASCII.
    fn addresses<'a>(&'a self, name: &'a str) -> LookupFuture<'a>;
}

/// The system's name servers, search domains and hosts file.
#[derive(Clone)]
pub struct SystemLookup(Option<TokioResolver>);

impl SystemLookup {
    /// Reads the system's configuration. Without a usable one every name is unknown, which is logged.
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.timeout = ATTEMPT;
            options.attempts = 2;
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            options.use_hosts_file = ResolveHosts::Always;
            builder.build()
        });
        Self(resolver.inspect_err(|error| tracing::warn!(%error, "System name servers are unknown")).ok())
    }
}

impl Default for SystemLookup {
    fn default() -> Self {
        Self::new()
    }
}

impl Lookup for SystemLookup {
    fn addresses<'a>(&'a self, name: &'a str) -> LookupFuture<'a> {
        Box::pin(async move {
            let Some(resolver) = &self.0 else { return Vec::new() };
            match resolver.lookup_ip(name).await {
                Ok(found) => found.iter().collect(),
                Err(error) => {
                    tracing::debug!(%error, "Name of a script's call has no address");
                    Vec::new()
                }
            }
        })
    }
}

/// One server; two must fit into the 3 s a call has by default (D 35).
const ATTEMPT: Duration = Duration::from_secs(1);
