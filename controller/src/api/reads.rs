//! Audit records of the admin API (D 30).
//!
//! Changes carry their records in their own transaction. Reads are by far the most frequent kind, so they are gathered
//! for at most a second in a bounded buffer and written together. When the buffer is full, the global setting
//! `auditLogPersistenceMode` decides: `Guaranteed` refuses the read, the others drop the record, count it, and the count
//! becomes a record itself.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use engine::dn::DistinguishedName;
use protocol::object::ObjectKind;
use serde_json::Value;
use tokio::sync::Notify;

use crate::{
    api::error::ApiError,
    audit::{Record, TOKEN_REFUSED},
    config::Config,
    store::{AuditEvent, Object, Store, Transaction},
};

/// Who did it, as audit records tell.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// Distinguished name of the administrator.
    pub(crate) name: DistinguishedName,
    /// Address of the caller.
    pub(crate) address: Option<IpAddr>,
}

impl Actor {
    /// A record by this actor.
    pub(crate) fn record(&self, event_type: &'static str) -> Record {
        Record::new(event_type).name(&self.name).address(self.address)
    }

    /// A record about an object.
    pub(crate) fn entity(&self, event_type: &'static str, object: &Object) -> AuditEvent {
        let record = self.record(event_type).with("entity_type", object.kind.title());
        record.with("entity_id", object.id.to_string()).with("entity_name", object.name.as_str()).event()
    }

    /// A record about a list that was read.
    pub(crate) fn listed(&self, kind: ObjectKind) -> AuditEvent {
        self.record("entities_listed").with("entity_type", kind.title()).event()
    }
}

/// Records of reads on their way to the store.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<AuditEvent>,
    dropped: u64,
}

impl Reads {
    /// Takes a record of a read. Refuses only when the buffer is full and the settings guarantee records.
    pub(crate) fn record(&self, config: &Config, event: AuditEvent) -> Result<(), ApiError> {
        if self.push(event) || !is_guaranteed(config) {
            return Ok(());
        }
        Err(ApiError::Busy { retry_after: FLUSH_INTERVAL })
    }

    /// Takes a record of a token that was not believed.
    pub(crate) fn token_refused(&self, code: &'static str, address: Option<IpAddr>) {
        self.push(Record::new(TOKEN_REFUSED).with("reason", code).address(address).event());
    }

    /// Writes what is waiting.
    pub(crate) async fn flush(&self, store: &dyn Store) {
        let Waiting { mut events, dropped } = std::mem::take(&mut *self.lock());
        if dropped > 0 {
            events.push(Record::new("audit_records_dropped").with("count", dropped).event());
        }
        if events.is_empty() {
            return;
        }
        let count = events.len() as u64;
        if let Err(error) = store.transact(Transaction { ops: Vec::new(), audit: events }).await {
            tracing::error!(%error, count, "Audit records of reads were lost");
            self.lock().dropped += count;
        }
    }

    fn push(&self, event: AuditEvent) -> bool {
        let mut waiting = self.lock();
        if waiting.events.len() >= MAX_WAITING {
            waiting.dropped += 1;
            return false;
        }
        waiting.events.push(event);
        drop(waiting);
        self.arrived.notify_one();
        true
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes waiting records once a second, until nobody holds the buffer any more.
pub(crate) async fn flush_regularly(reads: Arc<Reads>, store: Arc<dyn Store>) {
    let weak = Arc::downgrade(&reads);
    drop(reads);
    while let Some(reads) = weak.upgrade() {
        // A bounded wait, so that the task notices when the buffer is gone.
        let arrived = tokio::time::timeout(FLUSH_INTERVAL, reads.arrived.notified()).await.is_ok();
        if arrived {
            tokio::time::sleep(FLUSH_INTERVAL).await;
        }
        reads.flush(store.as_ref()).await;
    }
}

fn is_guaranteed(config: &Config) -> bool {
    let mode =
        config.all(ObjectKind::GlobalSettings).next().and_then(|settings| settings.body.get("auditLogPersistenceMode"));
    mode.and_then(Value::as_str) == Some("Guaranteed")
}

/// Longest a record of a read waits.
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Records of reads that may wait; at a few hundred bytes each this bounds memory and one transaction.
const MAX_WAITING: usize = 2048;
