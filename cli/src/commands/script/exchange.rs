//! Who answers the HTTP calls of a script that is tried out: the network for named origins, a recording, or nobody.
//!
//! INVARIANTS: what nobody allowed or recorded is refused, which ends the run; recordings hold no secret and no access token.

mod record;
mod redact;
mod replay;

use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sandbox::{Broker, BrokerConfig, HttpBackend, HttpFuture, HttpMethod, HttpOutcome, HttpRequest, Origin};

pub(super) use record::Recorder;
pub(super) use redact::Redactor;
pub(super) use replay::{Replay, failure_named};

/// Refuses every call and says how to allow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RefuseAll;

impl HttpBackend for RefuseAll {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(async move { refuse(&request) })
    }
}

/// Makes calls to the origins the author named, and to no other.
pub(super) struct AllowOrigins {
    broker: Broker,
    origins: Arc<[Origin]>,
}

impl AllowOrigins {
    /// A broker that reaches private and loopback addresses, since the author names each origin.
    pub(super) fn new(origins: Arc<[Origin]>) -> anyhow::Result<Self> {
        let config = BrokerConfig { allow_networks: own_networks(), ..BrokerConfig::default() };
        Ok(Self { broker: Broker::new(config)?, origins })
    }

    async fn call_checked(&self, mut request: HttpRequest) -> HttpOutcome {
        let Ok(url) = url::Url::parse(&request.url) else { return self.broker.call(request).await };
        if !Origin::of(&url).is_some_and(|origin| self.origins.contains(&origin)) {
            return refuse(&request);
        }
        // The broker holds redirects to this list too. A secret's own list stays in force.
        request.allowed_origins = Some(match request.allowed_origins {
            None => Arc::clone(&self.origins),
            Some(own) => own.iter().filter(|origin| self.origins.contains(origin)).cloned().collect(),
        });
        self.broker.call(request).await
    }
}

impl HttpBackend for AllowOrigins {
    fn call(&self, request: HttpRequest) -> HttpFuture<'_> {
        Box::pin(self.call_checked(request))
    }
}

/// The refusal of a call that was not allowed on the command line. It shows the origin only: the rest of a URL may hold a secret.
fn refuse(request: &HttpRequest) -> HttpOutcome {
    let origin = url::Url::parse(&request.url).ok().and_then(|url| Origin::of(&url));
    let Some(origin) = origin else {
        return HttpOutcome::Invalid("this is no http or https URL".to_owned());
    };
    HttpOutcome::Refused(format!(
        "the call to {origin} was not made; allow it with --allow-http {origin}, or answer it with --replay FILE"
    ))
}

/// Loopback, private, shared and unique local addresses.
fn own_networks() -> Vec<IpNet> {
    let four =
        [([127, 0, 0, 0], 8), ([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([100, 64, 0, 0], 10)];
    let six = [(std::net::Ipv6Addr::LOCALHOST, 128), (std::net::Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7)];
    let four =
        four.into_iter().filter_map(|(address, length)| Ipv4Net::new(address.into(), length).ok()).map(IpNet::V4);
    let six = six.into_iter().filter_map(|(address, length)| Ipv6Net::new(address, length).ok()).map(IpNet::V6);
    four.chain(six).collect()
}

/// The method of this name.
pub(super) fn method_named(name: &str) -> Option<HttpMethod> {
    [HttpMethod::Get, HttpMethod::Post, HttpMethod::Put, HttpMethod::Delete]
        .into_iter()
        .find(|method| method.as_str() == name)
}
