//! Audit records that need not wait for a transaction of their own: reads, and what scripts did (D 30).
//!
//! They are gathered for at most a second in a bounded buffer and written together. When the buffer is full, a record is
//! dropped and counted, and the count becomes a record itself; whoever must not go on without a record is told.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

use crate::{
    audit::Record,
    store::{AuditEvent, Store, Transaction},
};

/// Records on their way to the store.
#[derive(Debug, Default)]
pub(crate) struct Records {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<AuditEvent>,
    dropped: u64,
}

/// There was no room for a record; it is counted.
#[derive(Debug)]
pub(crate) struct Full;

impl Records {
    /// Takes a record.
    ///
    /// # Errors
    /// [`Full`] when too many are waiting.
    pub(crate) fn push(&self, event: AuditEvent) -> Result<(), Full> {
        let mut waiting = self.lock();
        if waiting.events.len() >= MAX_WAITING {
            waiting.dropped += 1;
            return Err(Full);
        }
        waiting.events.push(event);
        drop(waiting);
        self.arrived.notify_one();
        Ok(())
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
            tracing::error!(%error, count, "Buffered audit records were lost");
            self.lock().dropped += count;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes waiting records once a second, until nobody holds the buffer any more.
pub(crate) async fn flush_regularly(records: Arc<Records>, store: Arc<dyn Store>) {
    let weak = Arc::downgrade(&records);
    drop(records);
    while let Some(records) = weak.upgrade() {
        // A bounded wait, so that the task notices when the buffer is gone.
        let arrived = tokio::time::timeout(FLUSH_INTERVAL, records.arrived.notified()).await.is_ok();
        if arrived {
            tokio::time::sleep(FLUSH_INTERVAL).await;
        }
        records.flush(store.as_ref()).await;
    }
}

/// Longest a record waits.
pub(crate) const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
/// Records that may wait; at a few hundred bytes each this bounds memory and one transaction.
const MAX_WAITING: usize = 2048;
