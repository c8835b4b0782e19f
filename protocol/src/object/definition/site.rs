//! Documents of Sites.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use engine::{
    id::SiteId,
    object::{DnsResolver, Site},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SiteDocument {
    id: SiteId,
    name: String,
    #[serde(default)]
    name_resolution: NameResolutionDocument,
    #[serde(default)]
    admit_without_controller_seconds: Option<u64>,
    #[serde(default)]
    keep_without_controller_seconds: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NameResolutionDocument {
    use_hosts_file: bool,
    dns_resolvers: Vec<DnsResolverDocument>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DnsResolverDocument {
    name: String,
    #[serde(default)]
    servers: Vec<String>,
    #[serde(default)]
    match_domains: Vec<String>,
    #[serde(default = "default_update_interval")]
    update_interval: u64,
    #[serde(default, rename = "queryAAAA")]
    query_aaaa: bool,
}

fn default_update_interval() -> u64 {
    60
}

impl SiteDocument {
    pub(super) fn into_site(self) -> Result<Site, String> {
        let resolvers = self.name_resolution.dns_resolvers.into_iter().map(DnsResolverDocument::into_resolver);
        Ok(Site {
            id: self.id,
            name: self.name,
            use_hosts_file: self.name_resolution.use_hosts_file,
            dns_resolvers: resolvers.collect::<Result<_, _>>()?,
            admit_without_controller: self.admit_without_controller_seconds.map(Duration::from_secs),
            keep_without_controller: self.keep_without_controller_seconds.map(Duration::from_secs),
        })
    }
}

impl DnsResolverDocument {
    fn into_resolver(self) -> Result<DnsResolver, String> {
        let servers = self
            .servers
            .iter()
            .map(|text| parse_server(text).ok_or_else(|| format!("`{text}` is no DNS server address")));
        Ok(DnsResolver {
            name: self.name,
            servers: servers.collect::<Result<_, _>>()?,
            match_domains: self
                .match_domains
                .into_iter()
                .map(|domain| domain.trim_matches('.').to_ascii_lowercase())
                .collect(),
            update_interval: Duration::from_secs(self.update_interval.max(1)),
            query_aaaa: self.query_aaaa,
        })
    }
}

/// Reads a DNS server: an address, or an address with a port.
pub fn parse_server(text: &str) -> Option<SocketAddr> {
    let with_port = text.parse::<SocketAddr>().ok();
    with_port.or_else(|| text.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, 53)))
}
