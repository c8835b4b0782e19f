//! The last good configuration on disk, sealed under the gateway's own key, so that valid tokens are admitted while no
//! controller is reached. Written beside the traffic, never in its way.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use protocol::message::Snapshot;
use time::OffsetDateTime;
use tokio::sync::watch;

use crate::{
    gateway::Gateway,
    seal::{self, SealingKey},
};

/// Where the configuration is kept.
pub(crate) struct Cache {
    key: SealingKey,
    config: PathBuf,
    heard: PathBuf,
}

impl Cache {
    pub(crate) fn new(data_dir: &Path, key: SealingKey) -> Self {
        Self { key, config: data_dir.join("config.sealed"), heard: data_dir.join("heard.sealed") }
    }

    /// The last configuration written; one that cannot be opened counts as none.
    pub(crate) fn load(&self) -> Option<Snapshot> {
        let snapshot = serde_json::from_slice(&self.open(CONFIG, &self.config)?);
        snapshot.inspect_err(|_| tracing::warn!("Kept configuration is unreadable; waiting for a controller")).ok()
    }

    /// When a controller was last heard, as far as it was written down.
    pub(crate) fn load_heard(&self) -> Option<OffsetDateTime> {
        let bytes: [u8; 8] = self.open(HEARD, &self.heard)?.try_into().ok()?;
        OffsetDateTime::from_unix_timestamp(i64::from_be_bytes(bytes)).ok()
    }

    /// Writes what changes until told to stop, and once more then.
    pub(crate) async fn keep(self: Arc<Self>, gateway: Arc<Gateway>, mut stop: watch::Receiver<bool>) {
        let mut applied = gateway.config.applied();
        // What was loaded at the start is on disk already.
        let (mut written, mut heard) = (gateway.config.version(), gateway.contact.last());
        loop {
            let stopped = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => true,
                changed = applied.changed() => changed.is_err(),
                () = tokio::time::sleep(HEARD_INTERVAL) => false,
            };
            let version = gateway.config.version();
            let news = News {
                config: std::mem::replace(&mut written, version) != version,
                heard: gateway
                    .contact
                    .last()
                    .filter(|last| heard.is_none_or(|heard| *last >= heard + HEARD_INTERVAL || stopped)),
            };
            heard = news.heard.or(heard);
            let (cache, gateway) = (self.clone(), gateway.clone());
            let done = tokio::task::spawn_blocking(move || cache.write(&gateway, &news)).await;
            if done.is_err() || stopped {
                return;
            }
        }
    }

    fn write(&self, gateway: &Gateway, news: &News) {
        if let Some(heard) = news.heard {
            self.store(HEARD, &self.heard, heard.unix_timestamp().to_be_bytes().to_vec());
        }
        let Some(current) = gateway.config.current().filter(|_| news.config) else { return };
        match serde_json::to_vec(&current.to_snapshot(gateway.config.revocations())) {
            Ok(bytes) => self.store(CONFIG, &self.config, bytes),
            Err(error) => tracing::error!(%error, "Configuration cannot be written as JSON"),
        }
    }

    fn store(&self, purpose: &str, path: &Path, plain: Vec<u8>) {
        let Ok(sealed) = self.key.seal(purpose, plain) else {
            tracing::error!(purpose, "Nothing can be sealed");
            return;
        };
        if let Err(error) = seal::write_private(path, &sealed) {
            tracing::error!(%error, purpose, "Last good configuration cannot be written to disk");
        }
    }

    fn open(&self, purpose: &str, path: &Path) -> Option<Vec<u8>> {
        let sealed = seal::read_private(path)
            .inspect_err(|error| tracing::warn!(%error, purpose, "Kept file is unreadable"))
            .ok()??;
        self.key
            .open(purpose, &sealed)
            .inspect_err(|error| tracing::warn!(%error, purpose, "Kept file is not ours"))
            .ok()
    }
}

/// What is worth writing.
struct News {
    config: bool,
    heard: Option<OffsetDateTime>,
}

const CONFIG: &str = "portcullis gateway configuration 1";
const HEARD: &str = "portcullis gateway contact 1";

/// How far the time a controller was heard may be behind on disk.
const HEARD_INTERVAL: Duration = Duration::from_secs(15);
