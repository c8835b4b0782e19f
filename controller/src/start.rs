//! Starting and stopping a controller.

use std::{net::SocketAddr, sync::Arc};

use protocol::{
    exporter,
    message::AdminMessage,
    quic::{CONTROLLER_ALPN, Listener},
    tls::{self, AuthorityPin, ClientCertificates, Identity},
};
use sandbox::{Broker, BrokerConfig, Sandbox, SandboxConfig, WorkerCommand};
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    api,
    authority::CertificateAuthority,
    builtin::{self, ControllerRecord, GeneratedPassword, SeedError},
    err::StartError,
    messages, metrics,
    password::{PasswordError, Passwords},
    port,
    settings::Settings,
    state::Controller,
    store::{
        Store,
        sqlite::{SqliteOptions, SqliteStore},
    },
    trust,
};

/// A controller that serves.
pub struct Running {
    /// Where clients and gateways are served.
    pub client_address: SocketAddr,
    /// Where the admin API is served.
    pub admin_address: SocketAddr,
    /// Where counters are served, if they are.
    pub metrics_address: Option<SocketAddr>,
    /// The password of `admin` on a fresh store, to be shown once.
    pub first_admin_password: Option<GeneratedPassword>,
    /// What profiles and seeds pin.
    pub authority_pin: AuthorityPin,
    /// The authority's certificate, for clients of the admin API.
    pub authority_pem: String,
    /// The handle, for processes that hold a controller and more.
    pub controller: Arc<Controller>,
    store: Arc<SqliteStore>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// Opens the store, seeds a fresh one, starts the script workers and opens both ports. When this answers, both listen.
///
/// # Errors
/// When any of it fails; then nothing is left running.
pub async fn start(settings: Settings, worker: WorkerCommand) -> Result<Running, StartError> {
    let options = SqliteOptions {
        directory: settings.data_dir.clone(),
        master_key: settings.master_key.clone(),
        clock: settings.clock,
    };
    let store = SqliteStore::open(options).await.map_err(|error| StartError::Open(Box::new(error)))?;
    let store = Arc::new(store);
    match start_on(settings, worker, store.clone()).await {
        Ok(running) => Ok(running),
        Err(error) => {
            store.close().await;
            Err(error)
        }
    }
}

impl Running {
    /// Closes the ports, lets running calls finish, ends the workers and closes the store.
    pub async fn stop(self) {
        // Nobody listens any more when both ports ended on their own.
        let _ = self.stop.send(true);
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "Task of the controller ended badly");
            }
        }
        self.controller.sandbox.clone().stop().await;
        self.controller.records.flush(self.store.as_ref()).await;
        self.store.close().await;
    }
}

async fn start_on(
    mut settings: Settings,
    worker: WorkerCommand,
    store: Arc<SqliteStore>,
) -> Result<Running, StartError> {
    let now = (settings.clock)();
    let authority = CertificateAuthority::load(store.as_ref(), now).await?;
    let identity = authority.controller_identity(store.appliance(), &settings, now)?;
    let listener = client_listener(&mut settings, &authority, &identity)?;
    let (admin, admin_address) = admin_listener(&mut settings).await?;
    let admin_tls = tls::server_config(&identity, authority.certificate(), ClientCertificates::Unused, b"http/1.1")?;
    let first_admin_password = seed(store.as_ref(), &mut settings).await?;
    let metrics = metrics_listener(&mut settings).await?;
    let broker = Arc::new(broker(&settings, store.as_ref())?);
    let (messages, posted) = mpsc::channel(messages::MAX_WAITING);
    let networks = settings.script_networks.clone();
    let mut scripts = sandbox_config(worker, broker.clone(), messages.clone());
    scripts.java_members = settings.java_members;
    let sandbox = Sandbox::start(scripts);
    let sandbox = sandbox.await.map_err(StartError::Sandbox)?;
    let controller = match Controller::with_authority(settings, store.clone(), sandbox.clone(), authority).await {
        Ok(controller) => controller,
        Err(error) => {
            sandbox.stop().await;
            return Err(error);
        }
    };
    let (stop, stopped) = watch::channel(false);
    let api = api::serve(controller.clone(), admin, Arc::new(admin_tls), until_stopped(stopped.clone()));
    if let Some(message) = messages::missing_layers(controller.sandbox.layers()) {
        // The channel is fresh and has room.
        let _ = messages.try_send(message);
    }
    let mut tasks = vec![tokio::spawn(port::serve(controller.clone(), listener, stopped.clone())), tokio::spawn(api)];
    tasks.push(tokio::spawn(messages::post_own(store.clone(), posted, stopped.clone())));
    tasks.push(tokio::spawn(trust::follow(store.clone(), broker, networks, stopped.clone())));
    if let Some(listener) = metrics {
        let shown = controller.clone();
        tasks.push(tokio::spawn(exporter::serve(listener, move || metrics::text(&shown), stopped)));
    }
    Ok(Running {
        client_address: controller.settings.client_port,
        admin_address,
        metrics_address: controller.settings.metrics_port,
        first_admin_password,
        authority_pin: controller.authority.pin(),
        authority_pem: controller.authority.pem().to_owned(),
        controller,
        store,
        stop,
        tasks,
    })
}

/// Binds the client port and puts the port really bound into the settings, because seeds and profiles name it.
fn client_listener(
    settings: &mut Settings,
    authority: &CertificateAuthority,
    identity: &Identity,
) -> Result<Listener, StartError> {
    let tls = tls::server_config(identity, authority.certificate(), ClientCertificates::Optional, CONTROLLER_ALPN)?;
    let address = settings.client_port;
    let listener = Listener::bind(address, tls, port::limits(settings.limits.streams))?;
    settings.client_port = listener.local_address().map_err(|source| StartError::Port { address, source })?;
    Ok(listener)
}

async fn admin_listener(settings: &mut Settings) -> Result<(TcpListener, SocketAddr), StartError> {
    let address = settings.admin_port;
    let failed = |source| StartError::Port { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    settings.admin_port = listener.local_addr().map_err(failed)?;
    Ok((listener, settings.admin_port))
}

async fn metrics_listener(settings: &mut Settings) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = settings.metrics_port else { return Ok(None) };
    let failed = |source| StartError::Port { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    settings.metrics_port = Some(listener.local_addr().map_err(failed)?);
    Ok(Some(listener))
}

/// Carries the HTTP calls of scripts out; the controller's own ports stay closed to them.
fn broker(settings: &Settings, store: &dyn Store) -> Result<Broker, StartError> {
    let own = [Some(settings.client_port), Some(settings.admin_port), settings.metrics_port];
    let config = BrokerConfig {
        allow_networks: settings.script_networks.clone(),
        refuse_addresses: own.into_iter().flatten().collect(),
        trusted: trust::trusted(&store.config().current()),
        ..BrokerConfig::default()
    };
    Ok(Broker::new(config)?)
}

fn sandbox_config(worker: WorkerCommand, broker: Arc<Broker>, messages: mpsc::Sender<AdminMessage>) -> SandboxConfig {
    let mut config = SandboxConfig::new(worker);
    config.http = broker;
    // One that finds no room is in the log.
    config.on_quarantine = Some(Arc::new(move |script| drop(messages.try_send(messages::quarantined(script)))));
    config
}

async fn seed(store: &SqliteStore, settings: &mut Settings) -> Result<Option<GeneratedPassword>, StartError> {
    let hostname = settings.hostnames.first().cloned().unwrap_or_else(|| "localhost".to_owned());
    let record = ControllerRecord {
        name: "controller".to_owned(),
        hostname,
        client_port: settings.client_port.port(),
        admin_port: settings.admin_port.port(),
    };
    let passwords = Passwords::new();
    let hash = |password: zeroize::Zeroizing<String>| async move { passwords.hash(&password).await };
    builtin::seed(store, &record, (settings.clock)(), settings.first_admin_password.take(), hash)
        .await
        .map_err(|error: SeedError<PasswordError>| StartError::Seed(Box::new(error)))
}

async fn until_stopped(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone means the same as a stop.
    let _ = stopped.wait_for(|stop| *stop).await;
}
