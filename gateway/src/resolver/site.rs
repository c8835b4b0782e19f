//! The resolver a Site describes (D 15.2): the gateway's hosts file if the Site says so, then the DNS resolvers whose
//! domains match, in order. When none of them takes every name, the system's servers are asked last.

use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use engine::object::{DnsResolver, Site};
use hickory_resolver::{
    Resolver as Hickory, ResolverBuilder, TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig},
    net::{NetError, runtime::TokioRuntimeProvider},
    proto::rr::{RData, RecordType},
};
use tokio::time::timeout;

use super::{MAX_ADDRESSES, ResolveError, Resolved, Resolver, ResolverFuture};

/// Resolves names as a Site says.
pub(crate) struct SiteResolver {
    hosts_file: Option<PathBuf>,
    zones: Vec<Zone>,
}

/// One DNS resolver and the names it is for.
struct Zone {
    domains: Vec<String>,
    interval: Duration,
    ipv6: bool,
    /// `None` when its servers make no usable resolver; it then fails every name it is for.
    dns: Option<TokioResolver>,
}

impl SiteResolver {
    pub(crate) fn new(site: &Site, hosts_file: &Path) -> Self {
        let mut zones: Vec<Zone> = site.dns_resolvers.iter().map(Zone::new).collect();
        if zones.iter().all(|zone| !zone.domains.is_empty()) {
            zones.push(Zone::system());
        }
        Self { hosts_file: site.use_hosts_file.then(|| hosts_file.to_owned()), zones }
    }

    fn zones_for(&self, name: &str) -> impl Iterator<Item = &Zone> {
        let name = name.trim_end_matches('.').to_owned();
        self.zones.iter().filter(move |zone| zone.is_for(&name))
    }

    async fn ask(&self, name: &str) -> Result<Resolved, ResolveError> {
        if let Some(found) = self.ask_hosts_file(name).await {
            return Ok(found);
        }
        let mut outcome = Err(ResolveError::NoSuchName);
        for zone in self.zones_for(name) {
            let error = match zone.ask(name).await {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            // A failure says more than an absence: the name may well exist.
            if outcome == Err(ResolveError::NoSuchName) {
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn ask_hosts_file(&self, name: &str) -> Option<Resolved> {
        let path = self.hosts_file.as_ref()?;
        let text = tokio::fs::read_to_string(path).await.ok().filter(|text| text.len() <= MAX_HOSTS_FILE)?;
        Resolved::new(addresses_in(&text, name.trim_end_matches('.')), HOSTS_TTL).ok()
    }
}

impl Resolver for SiteResolver {
    fn resolve<'a>(&'a self, name: &'a str) -> ResolverFuture<'a> {
        Box::pin(async move { timeout(DEADLINE, self.ask(name)).await.unwrap_or(Err(ResolveError::NoAnswer)) })
    }

    fn interval(&self, name: &str) -> Duration {
        self.zones_for(name).map(|zone| zone.interval).min().unwrap_or(DEFAULT_INTERVAL)
    }
}

impl Zone {
    fn new(resolver: &DnsResolver) -> Self {
        let dns = if resolver.servers.is_empty() { system_dns() } else { dns(servers_config(&resolver.servers)) };
        Self {
            domains: resolver.match_domains.clone(),
            interval: resolver.update_interval,
            ipv6: resolver.query_aaaa,
            dns,
        }
    }

    fn system() -> Self {
        Self { domains: Vec::new(), interval: DEFAULT_INTERVAL, ipv6: false, dns: system_dns() }
    }

    fn is_for(&self, name: &str) -> bool {
        let within = |domain: &String| {
            name.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        self.domains.is_empty() || self.domains.iter().any(within)
    }

    async fn ask(&self, name: &str) -> Result<Resolved, ResolveError> {
        let dns = self.dns.as_ref().ok_or(ResolveError::ServersFailed)?;
        // With the final dot the name is whole, and no search domain is tried.
        let name = format!("{}.", name.trim_end_matches('.'));
        if !self.ipv6 {
            let (addresses, ttl) = lookup(dns, &name, RecordType::A).await?;
            return Resolved::new(addresses, ttl);
        }
        let (four, six) = tokio::join!(lookup(dns, &name, RecordType::A), lookup(dns, &name, RecordType::AAAA));
        match (four, six) {
            (Ok((four, left)), Ok((six, right))) => Resolved::new(four.into_iter().chain(six), left.min(right)),
            (Ok((addresses, ttl)), Err(ResolveError::NoSuchName)) => Resolved::new(addresses, ttl),
            (Err(ResolveError::NoSuchName), Ok((addresses, ttl))) => Resolved::new(addresses, ttl),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }
}

async fn lookup(dns: &TokioResolver, name: &str, kind: RecordType) -> Result<(Vec<IpAddr>, Duration), ResolveError> {
    let found = dns.lookup(name, kind).await.map_err(|error| typed(&error))?;
    let address = |data: &RData| match data {
        RData::A(address) => Some(IpAddr::V4(address.0)),
        RData::AAAA(address) => Some(IpAddr::V6(address.0)),
        _ => None,
    };
    let addresses = found.answers().iter().filter_map(|record| address(&record.data)).take(MAX_ADDRESSES + 1).collect();
    Ok((addresses, found.valid_until().saturating_duration_since(Instant::now())))
}

fn typed(error: &NetError) -> ResolveError {
    match error {
        NetError::Timeout => ResolveError::NoAnswer,
        error if error.is_no_records_found() => ResolveError::NoSuchName,
        _ => ResolveError::ServersFailed,
    }
}

fn servers_config(servers: &[SocketAddr]) -> ResolverConfig {
    let on_port = |mut connection: ConnectionConfig, port| {
        connection.port = port;
        connection
    };
    let server = |server: &SocketAddr| {
        let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
        let connections = connections.map(|connection| on_port(connection, server.port())).into();
        NameServerConfig::new(server.ip(), true, connections)
    };
    ResolverConfig::from_parts(None, Vec::new(), servers.iter().map(server).collect())
}

fn dns(config: ResolverConfig) -> Option<TokioResolver> {
    finish(Hickory::builder_with_config(config, TokioRuntimeProvider::default()))
}

fn system_dns() -> Option<TokioResolver> {
    match Hickory::builder_tokio() {
        Ok(builder) => finish(builder),
        Err(error) => {
            tracing::warn!(%error, "System name servers are unknown");
            None
        }
    }
}

fn finish(mut builder: ResolverBuilder<TokioRuntimeProvider>) -> Option<TokioResolver> {
    let options = builder.options_mut();
    options.timeout = ATTEMPT;
    options.attempts = 1;
    options.use_hosts_file = ResolveHosts::Never;
    // Answers are kept one level above, where sessions hear of a change.
    options.cache_size = 0;
    builder.build().inspect_err(|error| tracing::warn!(%error, "Name servers cannot be used")).ok()
}

/// The addresses a hosts file gives a name.
fn addresses_in<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    text.lines().filter_map(move |line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.trim_end_matches('.').eq_ignore_ascii_case(name)).then_some(address)
    })
}

/// A whole question, all servers included.
const DEADLINE: Duration = Duration::from_secs(2);

/// One server; the next one must still fit into the deadline.
const ATTEMPT: Duration = Duration::from_millis(900);

/// A hosts file has no times of its own.
const HOSTS_TTL: Duration = Duration::from_secs(5);

const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);

const MAX_HOSTS_FILE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_file_is_read_by_whole_names() {
        let text =
            "127.0.0.1 localhost\n10.0.0.1 CI.example.com ci # not ci.example.org\nnonsense ci\n::1 ci.example.com.";
        let found: Vec<IpAddr> = addresses_in(text, "ci.example.com").collect();
        assert_eq!(found, ["10.0.0.1".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        assert_eq!(addresses_in(text, "ci.example.org").count(), 0);
        assert_eq!(addresses_in(text, "example.com").count(), 0);
    }

    #[test]
    fn domains_match_at_label_boundaries() {
        let zone = Zone { domains: vec!["corp.example".into()], interval: DEFAULT_INTERVAL, ipv6: false, dns: None };
        assert!(zone.is_for("a.corp.example") && zone.is_for("corp.example"));
        assert!(!zone.is_for("evilcorp.example") && !zone.is_for("example"));
    }

    #[test]
    fn ten_thousand_and_one_addresses_are_cut_and_said_so() {
        let many = (0..=10_000_u32).map(|number| IpAddr::from(number.to_be_bytes()));
        let resolved = Resolved::new(many, Duration::ZERO).unwrap();
        assert_eq!((resolved.addresses.len(), resolved.truncated), (MAX_ADDRESSES, true));
        assert_eq!(Resolved::new([], Duration::ZERO), Err(ResolveError::NoSuchName));
    }
}
