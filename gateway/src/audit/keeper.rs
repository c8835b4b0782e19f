//! The thread that writes the chain.

use std::{
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use serde_json::{Map, Value};
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

use super::{Daemon, Event, Shared, Weight, Writer, file::AuditFile};

/// What the thread is told.
pub(super) enum Message {
    Record(Event),
    Stop,
}

pub(super) struct Keeper {
    file: AuditFile,
    writer: Writer,
    limit: usize,
    shared: Arc<Shared>,
    /// Dropped and not yet told.
    dropped: u64,
    synced: Instant,
    failed: bool,
}

impl Keeper {
    pub(super) fn new(file: AuditFile, writer: Writer, limit: usize, shared: Arc<Shared>) -> Self {
        Self { file, writer, limit, shared, dropped: 0, synced: Instant::now(), failed: false }
    }

    pub(super) fn run(mut self, messages: &Receiver<Message>) {
        loop {
            let (events, stop) = gather(messages);
            self.write(events);
            let due = stop || self.synced.elapsed() >= SYNC_INTERVAL;
            if due {
                self.synced = Instant::now();
                let synced = self.file.sync();
                self.note_failure(synced);
            }
            self.tidy();
            if stop {
                return;
            }
        }
    }

    fn write(&mut self, events: Vec<Event>) {
        let mut room = self.shared.lock().bytes;
        let mut records = Vec::with_capacity(events.len());
        self.dropped += self.shared.lost.swap(0, Ordering::Relaxed);
        for event in events {
            let limit = match event.weight {
                Weight::Flow => self.limit,
                Weight::Event => self.limit.saturating_mul(2),
            };
            if room > limit {
                self.dropped += 1;
                continue;
            }
            let text = self.text(event);
            room += text.len();
            records.push(text);
        }
        if self.dropped > 0 && room <= self.limit {
            let dropped = dropped(std::mem::take(&mut self.dropped));
            records.push(self.text(dropped));
        }
        if records.is_empty() {
            return;
        }
        let (chained, written) = self.file.append(records);
        self.note_failure(written);
        let mut waiting = self.shared.lock();
        chained.into_iter().for_each(|record| waiting.push(record));
        drop(waiting);
        self.shared.more.notify_one();
    }

    /// Writes the file anew when most of it was shipped.
    fn tidy(&mut self) {
        let kept = {
            let waiting = self.shared.lock();
            if !self.file.is_stale(&waiting) {
                return;
            }
            waiting.kept()
        };
        let rewritten = self.file.rewrite(&kept);
        self.note_failure(rewritten);
    }

    /// Records are shipped from memory, so a full disk loses them only together with the process.
    fn note_failure(&mut self, outcome: std::io::Result<()>) {
        match outcome {
            Ok(()) => self.failed = false,
            Err(error) if !std::mem::replace(&mut self.failed, true) => {
                tracing::error!(%error, "Audit records cannot be written to disk");
            }
            Err(_) => {}
        }
    }

    fn text(&self, event: Event) -> String {
        let mut members = event.members;
        let daemon = match event.daemon {
            Daemon::Session => "cz-sessiond",
            Daemon::Vpn => "cz-vpnd",
        };
        let common = [
            ("id", Value::from(Uuid::new_v4().to_string())),
            ("timestamp", timestamp(event.at).into()),
            ("event_type", event.event_type.into()),
            ("version", RECORD_VERSION.into()),
            ("daemon", daemon.into()),
            ("log_source", self.writer.appliance.to_string().into()),
            ("collective_id", self.writer.collective.to_string().into()),
        ];
        members.extend(common.map(|(name, value)| (name.to_owned(), value)));
        Value::Object(members).to_string()
    }
}

/// What came in: at least one message, or nothing for a while.
fn gather(messages: &Receiver<Message>) -> (Vec<Event>, bool) {
    let mut events = Vec::new();
    match messages.recv_timeout(SYNC_INTERVAL) {
        Ok(Message::Record(event)) => events.push(event),
        Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return (events, true),
        Err(RecvTimeoutError::Timeout) => return (events, false),
    }
    while events.len() < MAX_GATHERED {
        match messages.try_recv() {
            Ok(Message::Record(event)) => events.push(event),
            Ok(Message::Stop) => return (events, true),
            Err(_) => break,
        }
    }
    (events, false)
}

fn dropped(count: u64) -> Event {
    let mut members = Map::new();
    members.insert("count".to_owned(), count.into());
    let at = OffsetDateTime::now_utc();
    Event { daemon: Daemon::Session, event_type: "audit_records_dropped", weight: Weight::Event, members, at }
}

fn timestamp(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).format(TIMESTAMP).unwrap_or_default()
}

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Version of the record's shape (D 30).
const RECORD_VERSION: u32 = 2;

/// How far the disk may be behind.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

const MAX_GATHERED: usize = 1024;
