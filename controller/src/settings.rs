//! What the operator configures for one controller process. What is the same for the whole collective stands in the
//! store instead, as global settings.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use ipnet::IpNet;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// Settings of one controller. [`Settings::new`] has the defaults. Has no `Debug`, because it may hold a password.
#[derive(Clone)]
pub struct Settings {
    /// Holds the store and the master key.
    pub data_dir: PathBuf,
    /// The master key. Default: `master.key` in the data directory; best kept elsewhere, so that a copy of the store does
    /// not carry the key that opens it.
    pub master_key: PathBuf,
    /// Where clients and gateways are served (UDP). Default: port 443 on every address.
    pub client_port: SocketAddr,
    /// Where the admin API is served (TCP). Default: port 8443 on every address.
    pub admin_port: SocketAddr,
    /// Names or addresses that clients and gateways reach this controller by; the first comes first in seeds and
    /// profiles. Default: `localhost`.
    pub hostnames: Vec<String>,
    /// Further names or addresses that administrators reach the admin API by. Default: none.
    pub admin_names: Vec<String>,
    /// The host that client profiles name. Default: the first of `hostnames`.
    pub profile_host: Option<String>,
    /// Longest time from sign-in that claims tokens are renewed for; a longer claims token life wins. Default: 7 days.
    pub sign_in_life: Duration,
    /// How long an exported seed can be used. Default: 1 day (D 4).
    pub seed_life: Duration,
    /// The administrator's password on the very first start. Default: one is generated.
    pub first_admin_password: Option<Zeroizing<String>>,
    /// Private, loopback and other local networks that scripts may call over HTTP. Default: none. Danger: what listens
    /// there often trusts whoever is near, and everybody who may edit scripts is near then.
    pub script_networks: Vec<IpNet>,
    /// Whether scripts find the read-only members of Java strings and lists. Default: yes.
    pub java_members: bool,
    /// Where counters are served as plain HTTP (TCP), to whoever asks. Default: nowhere.
    pub metrics_port: Option<SocketAddr>,
    /// Bounds of the client port.
    pub limits: PortLimits,
    /// The clock; only tests set another than the system's.
    pub clock: fn() -> OffsetDateTime,
}

/// Bounds of the client port.
#[derive(Debug, Clone, Copy)]
pub struct PortLimits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once from one address. Many users may share one address.
    pub connections_per_address: usize,
    /// Streams a connection may have open at once.
    pub streams: u32,
    /// Requests without a certificate that one address may make at once, before they are slowed down.
    pub anonymous_burst: u32,
    /// Requests without a certificate that one address may make per second in the long run.
    pub anonymous_per_second: u32,
}

impl Default for PortLimits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 4_000,
            streams: 32,
            anonymous_burst: 1000,
            anonymous_per_second: 200,
        }
    }
}

impl Settings {
    /// The defaults, with the state in `data_dir`.
    pub fn new(data_dir: PathBuf) -> Self {
        Self {
            master_key: data_dir.join("master.key"),
            data_dir,
            client_port: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 443)),
            admin_port: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 8443)),
            hostnames: vec!["localhost".to_owned()],
            admin_names: Vec::new(),
            profile_host: None,
            sign_in_life: Duration::days(7),
            seed_life: Duration::days(1),
            first_admin_password: None,
            script_networks: Vec::new(),
            java_members: true,
            metrics_port: None,
            limits: PortLimits::default(),
            clock: OffsetDateTime::now_utc,
        }
    }

    /// `host:port` of every name clients and gateways reach this controller by.
    pub fn controller_addresses(&self) -> Vec<String> {
        self.hostnames.iter().map(|host| with_port(host, self.client_port.port())).collect()
    }

    /// `host:port` that client profiles name.
    pub fn profile_address(&self) -> String {
        with_port(self.profile_host(), self.client_port.port())
    }

    /// The host that client profiles name.
    pub fn profile_host(&self) -> &str {
        let host = self.profile_host.as_deref().or(self.hostnames.first().map(String::as_str));
        host.unwrap_or("localhost")
    }
}

/// Joins host and port; an IPv6 address gets its brackets.
fn with_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
