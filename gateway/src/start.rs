//! Starting and stopping a gateway.

use std::{fs::DirBuilder, io, net::SocketAddr, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};

use protocol::{
    carrier::SharedCarrier,
    exporter,
    quic::{GATEWAY_ALPN, Limits, Listener, QuicError},
    tls::{ClientCertificates, TlsError, server_config},
};
use sandbox::{Broker, BrokerConfig, Sandbox, SandboxConfig, WorkerCommand};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};

use crate::{
    audit::{Audit, AuditFileError, Writer},
    cache::Cache,
    clock::Clock,
    config::ConfigHandle,
    contact::Contact,
    dial::Dialer,
    follow,
    gateway::{Gateway, MOVED_AT_ONCE},
    identity::{GatewayIdentity, IdentityError},
    messages, metrics,
    registry::Registry,
    report::Reports,
    resolver::names::Names,
    scripts::Scripts,
    seal::SealingKey,
    serve,
    settings::GatewayConfig,
    wave::Waves,
};

/// Errors from starting a gateway.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data directory cannot be used.
    #[error("the data directory cannot be used")]
    DataDir(#[source] io::Error),
    /// Who this gateway is is not known.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The private key cannot protect what is kept.
    #[error("the private key cannot be used")]
    Key,
    /// The audit records cannot be kept.
    #[error(transparent)]
    Audit(#[from] AuditFileError),
    /// The broker for HTTP calls of scripts does not start.
    #[error("the HTTP calls of scripts cannot be prepared")]
    Broker(#[from] sandbox::BrokerError),
    /// The metrics listener cannot be opened.
    #[error("counters cannot be served on {address}")]
    Metrics {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The script workers cannot be started.
    #[error("the script workers cannot be started")]
    Sandbox(#[from] sandbox::StartError),
    /// Certificate and key make no server.
    #[error("the gateway's certificate cannot be used")]
    Tls(#[from] TlsError),
    /// The listening address cannot be used.
    #[error("clients cannot be listened for")]
    Listen(#[from] QuicError),
    /// The listening socket has no address.
    #[error("the listening socket has no address")]
    Address(#[source] io::Error),
}

impl StartError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DataDir(_) => "start.data-dir",
            Self::Identity(error) => error.code(),
            Self::Key => "start.key",
            Self::Audit(_) => "start.audit",
            Self::Broker(_) => "start.broker",
            Self::Metrics { .. } => "start.metrics",
            Self::Sandbox(_) => "start.sandbox",
            Self::Tls(_) => "start.certificate",
            Self::Listen(_) | Self::Address(_) => "start.listen",
        }
    }
}

/// A gateway at work.
pub struct Running {
    /// Where clients connect.
    pub address: SocketAddr,
    /// Where counters are served, if they are.
    pub metrics_address: Option<SocketAddr>,
    gateway: Arc<Gateway>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Running {
    /// Resolves once a configuration is applied, from a controller or from disk: from then on clients are admitted.
    pub async fn ready(&self) {
        // The sender lives as long as the gateway.
        let _ = self.gateway.config.applied().wait_for(Option::is_some).await;
    }

    /// Serves a client on a connection that somebody else accepted; ends with it. Who may connect from where, and how many, is
    /// for whoever accepts to see to; everything else is as on the gateway's own port.
    pub fn serve(&self, carrier: SharedCarrier) -> impl Future<Output = ()> + Send + use<> {
        serve::serve_carrier(self.gateway.clone(), carrier)
    }

    /// Ends all sessions and stops; ends when everything is down and written.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.gateway.scripts.stop().await;
        let gateway = self.gateway.clone();
        // A panic of the audit thread was reported when it happened.
        let _ = tokio::task::spawn_blocking(move || gateway.audit.stop()).await;
    }
}

/// Starts a gateway: becomes a member if need be, listens, follows its controllers.
///
/// # Errors
/// When something it cannot do without is missing; an unreachable controller is only at the first start.
pub async fn start(config: GatewayConfig, worker: WorkerCommand) -> Result<Running, StartError> {
    make_private_directory(&config.data_dir).map_err(StartError::DataDir)?;
    let mut identity = GatewayIdentity::obtain(&config.data_dir, config.seed.as_ref()).await?;
    if !config.controllers.is_empty() {
        identity.controllers.clone_from(&config.controllers);
    }
    let identity = Arc::new(identity);
    let key = SealingKey::derive(&identity.tls.key).map_err(|_| StartError::Key)?;
    let cache = Arc::new(Cache::new(&config.data_dir, key));
    let tls = server_config(&identity.tls, &identity.authority, ClientCertificates::Required, GATEWAY_ALPN)?;
    let listen = config.listen;
    // The control stream comes on top of the flows.
    let limits = Limits { streams: config.limits.flows_per_session.saturating_add(1), ..Limits::default() };
    let listener = Listener::bind_lasting(listen, tls, limits, &identity.tls.key)?;
    let address = listener.local_address().map_err(StartError::Address)?;
    let metrics = metrics_listener(config.metrics_listen).await?;
    let metrics_address = metrics.as_ref().map(|(_, address)| *address);
    let broker = Broker::new(BrokerConfig {
        allow_networks: config.script_networks.clone(),
        refuse_addresses: [Some(address), metrics_address].into_iter().flatten().collect(),
        ..BrokerConfig::default()
    })?;
    let parts = scripting(worker, broker, config.java_members).await?;
    let gateway = Arc::new(assemble(config, &identity, &cache, parts)?);
    restore(&gateway, &cache).await;
    let metrics = metrics.map(|(listener, _)| listener);
    let (stop, tasks) = spawn_all(&gateway, identity, cache, Listeners { clients: listener, metrics });
    Ok(Running { address, metrics_address, gateway, stop, tasks })
}

async fn metrics_listener(address: Option<SocketAddr>) -> Result<Option<(TcpListener, SocketAddr)>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let failed = |source| StartError::Metrics { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok(Some((listener, bound)))
}

/// What runs scripts, and where it tells of what administrators should look at.
struct Scripting {
    sandbox: Sandbox,
    broker: Arc<Broker>,
    reports: Arc<Reports>,
}

/// Starts the workers. Calls of their scripts go through the broker; the gateway's own ports stay closed to them.
async fn scripting(worker: WorkerCommand, broker: Broker, java_members: bool) -> Result<Scripting, StartError> {
    let broker = Arc::new(broker);
    let reports = Arc::new(Reports::default());
    let mut config = SandboxConfig::new(worker);
    config.http = broker.clone();
    config.java_members = java_members;
    let told = reports.clone();
    config.on_quarantine = Some(Arc::new(move |script| messages::quarantined(&told, script)));
    let sandbox = Sandbox::start(config).await?;
    messages::missing_layers(&reports, sandbox.layers());
    Ok(Scripting { sandbox, broker, reports })
}

fn assemble(
    config: GatewayConfig,
    identity: &GatewayIdentity,
    cache: &Cache,
    scripting: Scripting,
) -> Result<Gateway, StartError> {
    let clock = Clock::start();
    let writer = Writer { appliance: identity.appliance, collective: identity.collective };
    let Scripting { sandbox, broker, reports } = scripting;
    Ok(Gateway {
        clock,
        config: ConfigHandle::new(identity.collective),
        registry: Registry::new(config.limits.sessions),
        contact: Contact::new(cache.load_heard(), clock.now()),
        scripts: Scripts::new(sandbox),
        waves: Waves::default(),
        names: Arc::new(Names::new(clock, config.hosts_file)),
        moved_turns: Semaphore::new(MOVED_AT_ONCE),
        dialer: Dialer::new(config.dial_allow, config.limits.connect),
        audit: Audit::open(config.data_dir.join("audit.jsonl"), writer, config.limits.audit_bytes)?,
        reports,
        broker,
        script_networks: config.script_networks,
        limits: config.limits,
    })
}

/// Puts the last good configuration in force until a controller says something newer.
async fn restore(gateway: &Arc<Gateway>, cache: &Cache) {
    let Some(snapshot) = cache.load() else { return };
    match gateway.restore(snapshot).await {
        Ok(seq) => tracing::info!(seq, "Last good configuration is in force"),
        Err(error) => tracing::warn!(%error, "Kept configuration is unusable; waiting for a controller"),
    }
}

/// What is served.
struct Listeners {
    clients: Listener,
    metrics: Option<TcpListener>,
}

fn spawn_all(
    gateway: &Arc<Gateway>,
    identity: Arc<GatewayIdentity>,
    cache: Arc<Cache>,
    listeners: Listeners,
) -> (watch::Sender<bool>, JoinSet<()>) {
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(gateway.clone(), listeners.clients, stopping.clone()));
    if let Some(listener) = listeners.metrics {
        let shown = gateway.clone();
        tasks.spawn(exporter::serve(listener, move || metrics::text(&shown), stopping.clone()));
    }
    tasks.spawn(follow::follow(gateway.clone(), identity, stopping.clone()));
    tasks.spawn(cache.keep(gateway.clone(), stopping.clone()));
    tasks.spawn(gateway.clone().keep_house(stopping.clone()));
    tasks.spawn(gateway.clone().follow_waves(stopping.clone()));
    tasks.spawn(gateway.clone().follow_names(stopping));
    (stop, tasks)
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
