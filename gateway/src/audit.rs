//! The gateway's audit records (D 30): one hash chain, kept in a file until a controller holds them.
//!
//! Writing a record costs the caller one queue entry; chaining, writing and syncing happen on a thread of their own, at
//! most a second behind. When controllers are away for long, flow records are dropped and counted, and the count is
//! itself a chained record.

mod chain;
mod file;
mod keeper;

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread::JoinHandle,
};

use engine::{dn::DistinguishedName, id::ApplianceId};
use protocol::message::ChainedRecord;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::sync::Notify;
use uuid::Uuid;

pub use file::AuditFileError;
use keeper::{Keeper, Message};

/// Which daemon a record speaks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Daemon {
    Session,
    Vpn,
}

/// What becomes of a record when there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// One of very many; dropped and counted first.
    Flow,
    /// Sessions, tokens, evaluations.
    Event,
}

/// A record before it is chained.
pub(crate) struct Event {
    pub(crate) daemon: Daemon,
    pub(crate) event_type: &'static str,
    pub(crate) weight: Weight,
    pub(crate) members: Map<String, Value>,
    pub(crate) at: OffsetDateTime,
}

/// Takes records and hands out what is to be shipped.
pub(crate) struct Audit {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the writing thread and the shipping task share.
struct Shared {
    waiting: Mutex<file::Waiting>,
    /// Records that found the queue full.
    lost: AtomicU64,
    more: Notify,
}

/// Who writes the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer {
    pub(crate) appliance: ApplianceId,
    pub(crate) collective: Uuid,
}

impl Audit {
    /// Goes on with the chain in a file, or begins one.
    pub(crate) fn open(path: PathBuf, writer: Writer, limit: usize) -> Result<Self, AuditFileError> {
        let (file, waiting) = file::AuditFile::open(path)?;
        let shared = Arc::new(Shared { waiting: Mutex::new(waiting), lost: AtomicU64::new(0), more: Notify::new() });
        let (sender, receiver) = sync_channel(QUEUE);
        let keeper = Keeper::new(file, writer, limit, shared.clone());
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn(move || keeper.run(&receiver));
        let thread = thread.map_err(AuditFileError::Io)?;
        Ok(Self { sender, shared, thread: Mutex::new(Some(thread)) })
    }

    /// Writes a record; never waits.
    pub(crate) fn record(&self, event: Event) {
        if self.sender.try_send(Message::Record(event)).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The oldest records no controller holds yet, within the bounds of a frame.
    pub(crate) fn unshipped(&self) -> Vec<ChainedRecord> {
        let waiting = self.shared.lock();
        let mut bytes = 0;
        let fits = |record: &&ChainedRecord| {
            bytes += record.record.len() + OVERHEAD;
            bytes <= MAX_BATCH_BYTES || bytes == record.record.len() + OVERHEAD
        };
        waiting.records.iter().take_while(fits).cloned().collect()
    }

    /// A controller holds everything up to a position.
    pub(crate) fn acknowledge(&self, position: u64) {
        self.shared.lock().acknowledge(position);
    }

    /// Waits until there may be more to ship.
    pub(crate) async fn more(&self) {
        self.shared.more.notified().await;
    }

    /// Writes what is queued, syncs and ends the thread.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A closed queue or a dead thread has nothing left to write.
            let _ = self.sender.send(Message::Stop);
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, file::Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The members every record about a session has.
pub(crate) fn name_members(name: &DistinguishedName) -> Map<String, Value> {
    let members = [
        ("distinguished_name", name.to_string()),
        ("distinguished_name_device_id", name.device.uuid().simple().to_string()),
        ("distinguished_name_user", name.user.username.clone()),
        ("distinguished_name_ou", name.user.provider.clone()),
    ];
    members.into_iter().map(|(member, value)| (member.to_owned(), value.into())).collect()
}

/// Records between the sessions and the thread; it takes about a tenth of a second to fill at full load.
const QUEUE: usize = 16_384;

/// Text of the records of one frame; with their escapes they stay below the bound of an ordinary message.
const MAX_BATCH_BYTES: usize = 32 * 1024;

/// Position, hash and names of a record in a frame.
const OVERHEAD: usize = 128;
