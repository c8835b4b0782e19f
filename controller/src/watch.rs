//! The watch stream: a gateway follows configuration, revocations and keys (design 5).
//!
//! The stream begins with a snapshot, unless the gateway's position is the newest. From then on every commit becomes one
//! frame: a change, or a progress mark when nothing of it concerns this gateway. Frames hold whole transactions. Whoever
//! falls behind gets a snapshot again; nothing is ever skipped. Silence is broken every two seconds, so that a gateway
//! can tell a quiet controller from a lost one.
//!
//! Only a gateway with the certificate and, unless relaxed, the source address it enrolled with may watch; the check is
//! repeated while it does.

mod view;

use std::{net::IpAddr, sync::Arc, time::Duration};

use engine::{dn::DnEnding, id::ApplianceId, token::Thumbprint};
use protocol::{
    carrier::{SendHalf, Stream},
    frame::{self, FrameError, MAX_MESSAGE},
    message::{Change, ConfigObject, Snapshot, WatchAck, WatchEvent, WatchFrom, WireRevocation},
    object::ObjectKind,
};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, timeout},
};

use crate::{
    appliance::Gateway,
    config::Config,
    enrol,
    gateways::Registration,
    script_secrets::{self, SECRET_FIELD},
    state::Controller,
    store::{Committed, StoreError},
};
use view::View;

/// A gateway as its connection proves it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GatewayPeer {
    /// The appliance.
    pub(crate) appliance: ApplianceId,
    /// Its certificate.
    pub(crate) certificate: Thumbprint,
    /// Where it connects from.
    pub(crate) address: IpAddr,
}

/// Why a watch stream ended or never began.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// Not the gateway that enrolled.
    #[error("gateway is not admitted: {0}")]
    NotAdmitted(&'static str),
    /// The gateway was deleted or taken out of its Site.
    #[error("gateway is no longer configured")]
    Removed,
    /// The gateway does not take what it is sent.
    #[error("gateway does not read")]
    Stalled,
    /// The stream failed.
    #[error("stream failed")]
    Stream(#[from] FrameError),
    /// The store failed.
    #[error("store failed")]
    Store(#[from] StoreError),
    /// The store is gone; the controller stops.
    #[error("store is closed")]
    Closed,
}

/// Whether the peer is the gateway it says it is.
///
/// # Errors
/// [`WatchError::NotAdmitted`] with the reason for the audit log.
pub(crate) async fn admit(c: &Controller, peer: GatewayPeer) -> Result<(), WatchError> {
    let enrolment = c.store.enrolment(peer.appliance).await?;
    let Some(gateway) = Gateway::find(&c.config.current(), peer.appliance) else {
        return Err(WatchError::NotAdmitted("no-gateway"));
    };
    enrol::check_pin(enrolment.as_ref(), &gateway, peer.certificate.as_bytes(), peer.address)
        .map_err(WatchError::NotAdmitted)
}

/// Serves an admitted gateway until the stream ends.
pub(crate) async fn serve(
    c: &Controller,
    peer: GatewayPeer,
    from: WatchFrom,
    stream: Stream,
) -> Result<(), WatchError> {
    let Stream { mut send, mut receive } = stream;
    let registration = c.gateways.register(peer.appliance, peer.address, c.now());
    let (applied, acknowledged) = tokio::sync::watch::channel(0);
    let acks = async {
        loop {
            let ack: WatchAck = frame::read_frame(receive.as_mut(), MAX_MESSAGE).await?;
            registration.acknowledged(ack.seq, c.now());
            applied.send_replace(ack.seq);
        }
    };
    // Subscribing comes before the first look at the configuration, so that no commit falls between the two.
    let commits = c.store.subscribe();
    let mut watcher = Watcher { c, peer, commits, acknowledged, registration: &registration, send: send.as_mut() };
    tokio::select! {
        ended = watcher.run(from) => ended,
        ended = acks => ended,
    }
}

struct Watcher<'a> {
    c: &'a Controller,
    peer: GatewayPeer,
    commits: Receiver<Arc<Committed>>,
    acknowledged: tokio::sync::watch::Receiver<u64>,
    registration: &'a Registration<'a>,
    send: &'a mut dyn SendHalf,
}

/// What several commits come to beside the objects.
#[derive(Default)]
struct News {
    seq: u64,
    objects: bool,
    revocations: Vec<WireRevocation>,
    reevaluate: Vec<DnEnding>,
}

/// What woke the watcher.
enum Wake {
    Commit(Arc<Committed>),
    Missed,
    Silence,
}

impl Watcher<'_> {
    async fn run(&mut self, from: WatchFrom) -> Result<(), WatchError> {
        let config = self.c.config.current();
        let mut view = View::of(&config, self.peer.appliance).ok_or(WatchError::Removed)?;
        let mut seq = config.seq;
        if from.epoch == Some(config.epoch) && from.seq == seq {
            self.send(seq, &WatchEvent::Progress { seq }).await?;
        } else {
            self.send_snapshot(&config, &view).await?;
        }
        let mut silent_since = Instant::now();
        loop {
            match self.wake(silent_since + HEARTBEAT).await? {
                Wake::Silence => {
                    admit(self.c, self.peer).await?;
                    self.send(seq, &WatchEvent::Progress { seq }).await?;
                }
                Wake::Missed => (seq, view) = self.start_over(&view).await?,
                Wake::Commit(committed) if committed.seq.is_none_or(|number| number <= seq) => continue,
                Wake::Commit(committed) => match self.gather(committed).await? {
                    None => (seq, view) = self.start_over(&view).await?,
                    Some((config, news)) => {
                        seq = news.seq;
                        self.send_news(&config, news, &mut view).await?;
                    }
                },
            }
            silent_since = Instant::now();
        }
    }

    async fn wake(&mut self, silence: Instant) -> Result<Wake, WatchError> {
        match tokio::time::timeout_at(silence, self.commits.recv()).await {
            Err(_) => Ok(Wake::Silence),
            Ok(Ok(committed)) => Ok(Wake::Commit(committed)),
            Ok(Err(RecvError::Lagged(_))) => Ok(Wake::Missed),
            Ok(Err(RecvError::Closed)) => Err(WatchError::Closed),
        }
    }

    /// Collects commits until they are exactly those that the newest configuration holds, so that a frame never carries
    /// half a transaction. `None` when some were missed.
    async fn gather(&mut self, first: Arc<Committed>) -> Result<Option<(Arc<Config>, News)>, WatchError> {
        let mut news = News::default();
        news.add(&first);
        loop {
            let config = self.c.config.current();
            while news.seq < config.seq {
                match self.commits.recv().await {
                    Ok(committed) => news.add(&committed),
                    Err(RecvError::Lagged(_)) => return Ok(None),
                    Err(RecvError::Closed) => return Err(WatchError::Closed),
                }
            }
            if news.seq == config.seq {
                return Ok(Some((config, news)));
            }
        }
    }

    async fn send_news(&mut self, config: &Config, news: News, view: &mut View) -> Result<(), WatchError> {
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        if news.objects {
            let Some(newer) = View::of(config, self.peer.appliance) else {
                return Err(self.leave_with_nothing(config, view).await);
            };
            if !newer.continues(view) {
                *view = newer;
                return self.send_snapshot(config, view).await;
            }
            (put, removed) = newer.since(view);
            self.reveal(&mut put).await?;
            *view = newer;
        }
        let seq = news.seq;
        if put.is_empty() && removed.is_empty() && news.revocations.is_empty() && news.reevaluate.is_empty() {
            return self.send(seq, &WatchEvent::Progress { seq }).await;
        }
        let change =
            Change { seq, put, removed, revocations: news.revocations, reevaluate: news.reevaluate, keys: None };
        self.send(seq, &WatchEvent::Change(Box::new(change))).await
    }

    /// A gateway that is none any more must not go on with what it has. The connection closes only once it has said that it
    /// dropped everything, because closing drops what is unsent.
    async fn leave_with_nothing(&mut self, config: &Config, view: &View) -> WatchError {
        if let Err(error) = self.send_snapshot(config, &view.emptied()).await {
            return error;
        }
        let applied = self.acknowledged.wait_for(|seq| *seq >= config.seq);
        if timeout(LEAVE_TIMEOUT, applied).await.is_err() {
            tracing::warn!(appliance = %self.peer.appliance, "Removed gateway did not say that it dropped its configuration");
        }
        WatchError::Removed
    }

    /// Sends everything, after commits were missed.
    async fn start_over(&mut self, old: &View) -> Result<(u64, View), WatchError> {
        tracing::warn!(appliance = %self.peer.appliance, "Gateway fell behind and gets a snapshot");
        self.commits = self.commits.resubscribe();
        let config = self.c.config.current();
        let Some(view) = View::of(&config, self.peer.appliance) else {
            return Err(self.leave_with_nothing(&config, old).await);
        };
        self.send_snapshot(&config, &view).await?;
        Ok((config.seq, view))
    }

    async fn send_snapshot(&mut self, config: &Config, view: &View) -> Result<(), WatchError> {
        let keys = self.c.issuer.keys();
        let mut objects = view.all();
        self.reveal(&mut objects).await?;
        let snapshot = Snapshot {
            collective: self.c.store.collective(),
            epoch: config.epoch,
            seq: config.seq,
            site: view.site,
            gateway: view.endpoint.clone(),
            objects,
            revocations: config.revocations.rules().map(WireRevocation::from).collect(),
            keys: keys.verifying_texts(),
            claims_key: keys.claims_text(),
        };
        self.send(config.seq, &WatchEvent::Snapshot(Box::new(snapshot))).await
    }

    /// Puts the values of secrets into their documents. One that was deleted meanwhile goes without a value, which counts as
    /// missing, and the next frame takes it away.
    async fn reveal(&self, objects: &mut [ConfigObject]) -> Result<(), WatchError> {
        for object in objects.iter_mut().filter(|object| object.kind == ObjectKind::Secret) {
            let value = match script_secrets::value(self.c.store.as_ref(), object.id).await {
                Ok(value) => value,
                Err(StoreError::Missing { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(members) = object.body.as_object_mut() {
                members.insert(SECRET_FIELD.to_owned(), value.as_str().into());
            }
        }
        Ok(())
    }

    async fn send(&mut self, seq: u64, event: &WatchEvent) -> Result<(), WatchError> {
        let written = timeout(WRITE_TIMEOUT, frame::write_frame(&mut *self.send, event)).await;
        written.map_err(|_| WatchError::Stalled)??;
        self.registration.sent(seq);
        Ok(())
    }
}

impl News {
    fn add(&mut self, committed: &Committed) {
        let Some(seq) = committed.seq else { return };
        self.seq = seq;
        self.objects |= !committed.objects.is_empty() || !committed.deleted.is_empty();
        self.revocations.extend(committed.revocations.iter().map(WireRevocation::from));
        self.reevaluate.extend(committed.reevaluations.iter().cloned());
    }
}

/// Longest silence on the stream.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How long a removed gateway may take to drop its configuration.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a gateway may take to accept a frame.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
