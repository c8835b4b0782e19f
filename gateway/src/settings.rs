//! What a gateway is started with.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use engine::id::ApplianceId;
use ipnet::IpNet;
use protocol::tls::AuthorityPin;
use serde::Deserialize;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Settings of a gateway.
pub struct GatewayConfig {
    /// Where identity, last good configuration and unshipped audit records are kept; made with mode 0700.
    pub data_dir: PathBuf,
    /// Makes the gateway a member; needed at the first start only.
    pub seed: Option<Seed>,
    /// UDP address clients connect to; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Prefixes that may be dialled although they are loopback, link-local, multicast or the gateway's own addresses.
    /// Default none. Danger: everything that listens there trusts the gateway.
    pub dial_allow: Vec<IpNet>,
    /// Private, loopback and other local networks that scripts may call over HTTP; default none. Danger: what listens there
    /// often trusts whoever is near, and everybody who may edit scripts is near then.
    pub script_networks: Vec<IpNet>,
    /// Whether scripts find the read-only members of Java strings and lists; default yes.
    pub java_members: bool,
    /// Where counters are served as plain HTTP (TCP), to whoever asks; default nowhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The hosts file, for Sites that use it.
    pub hosts_file: PathBuf,
    /// `host:port` of the controllers, when they differ from those of the seed.
    pub controllers: Vec<String>,
    /// Bounds.
    pub limits: GatewayLimits,
}

impl GatewayConfig {
    /// The default settings.
    pub fn new(data_dir: PathBuf, listen: SocketAddr) -> Self {
        Self {
            data_dir,
            seed: None,
            listen,
            dial_allow: Vec::new(),
            script_networks: Vec::new(),
            java_members: true,
            metrics_listen: None,
            hosts_file: PathBuf::from("/etc/hosts"),
            controllers: Vec::new(),
            limits: GatewayLimits::default(),
        }
    }
}

/// Bounds of a gateway.
#[derive(Debug, Clone)]
pub struct GatewayLimits {
    /// Sessions at once; default 10,000. An idle one costs about 100 KiB.
    pub sessions: usize,
    /// Flows of one session, open or waiting, and so its streams; default 1,024.
    pub flows_per_session: u32,
    /// Handshake and first tokens must be done within this; default 10 s.
    pub handshake: Duration,
    /// How long tokens wait for the configuration they were decided by; default 2 s.
    pub config_wait: Duration,
    /// How long a flow is held for a condition; default 60 s.
    pub hold: Duration,
    /// How long connecting to a protected host may take; default 10 s.
    pub connect: Duration,
    /// Silence after which a UDP flow is over; default 120 s.
    pub udp_idle: Duration,
    /// Bytes of audit records that wait for a controller before flow records are dropped and counted; default 64 MiB.
    /// Other records are kept up to twice as many.
    pub audit_bytes: usize,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            flows_per_session: 1024,
            handshake: Duration::from_secs(10),
            config_wait: Duration::from_secs(2),
            hold: Duration::from_secs(60),
            connect: Duration::from_secs(10),
            udp_idle: Duration::from_secs(120),
            audit_bytes: 64 * 1024 * 1024,
        }
    }
}

/// What makes a gateway a member, as an administrator exported it. Has no `Debug`: it holds a secret.
pub struct Seed {
    /// The collective.
    pub collective_id: Uuid,
    /// `host:port` of the controllers.
    pub controllers: Vec<String>,
    /// The certificate authority to trust.
    pub ca_fingerprint: AuthorityPin,
    /// The appliance this gateway becomes.
    pub appliance_id: ApplianceId,
    /// The one-time secret.
    pub secret: Zeroizing<String>,
}

/// A text that is no seed. It never repeats the text, which may be a good seed with a bad end.
#[derive(Debug, thiserror::Error)]
#[error("the seed is unreadable ({0}); export it again and copy it whole")]
pub struct SeedError(&'static str);

impl FromStr for Seed {
    type Err = SeedError;

    fn from_str(text: &str) -> Result<Self, SeedError> {
        let text = text.trim();
        let json = STANDARD.decode(text).or_else(|_| URL_SAFE_NO_PAD.decode(text)).map(Zeroizing::new);
        let json = json.map_err(|_| SeedError("no base64"))?;
        let document: SeedDocument = serde_json::from_slice(&json).map_err(|_| SeedError("members are missing"))?;
        if document.controllers.is_empty() {
            return Err(SeedError("it names no controller"));
        }
        Ok(Self {
            collective_id: document.collective_id,
            controllers: document.controllers,
            ca_fingerprint: AuthorityPin::parse(&document.ca_fingerprint).map_err(|_| SeedError("fingerprint"))?,
            appliance_id: document.appliance_id,
            secret: Zeroizing::new(document.secret),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeedDocument {
    collective_id: Uuid,
    controllers: Vec<String>,
    ca_fingerprint: String,
    appliance_id: ApplianceId,
    secret: String,
}
