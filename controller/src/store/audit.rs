//! The audit chain: how records are written, linked and verified.
//!
//! Every writer (each controller, each gateway) has one chain. The hash of a record is SHA-256 over the 32 bytes of the
//! previous hash and the bytes of the record; the first record follows 32 zero bytes. Changing, adding, removing or
//! moving a record breaks the chain of its writer from there on. Removing the newest records is seen only by comparing
//! heads that were kept elsewhere.

use std::{collections::BTreeMap, fmt::Write as _};

use engine::id::ApplianceId;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use time::{OffsetDateTime, UtcOffset, format_description::BorrowedFormatItem, macros::format_description};
use uuid::Uuid;

use super::{AuditEvent, AuditFilter, AuditRow, Store, StoreError};

/// The head of a chain: the last record's position and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Position, from 1; 0 before the first record.
    pub position: u64,
    /// Hash of the record there.
    pub hash: [u8; 32],
}

impl Link {
    /// The head of a chain without records.
    pub const START: Self = Self { position: 0, hash: [0; 32] };

    /// The head after one more record.
    #[must_use]
    pub fn next(&self, record: &str) -> Self {
        let hashed = digest(&SHA256, &[self.hash.as_slice(), record.as_bytes()].concat());
        let mut hash = [0; 32];
        hash.copy_from_slice(hashed.as_ref());
        Self { position: self.position.saturating_add(1), hash }
    }

    /// The hash as records carry it: lower-case hex.
    pub fn hash_text(&self) -> String {
        self.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String never fails.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Why audit records cannot be believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A record does not follow from the one before it.
    #[error("the audit chain of `{writer}` is broken at position {position}")]
    Broken {
        /// Whose chain.
        writer: ApplianceId,
        /// The first position that cannot be believed, seen from the newest record down.
        position: u64,
    },
    /// The records could not be read.
    #[error("the audit records could not be read")]
    Store(#[from] StoreError),
}

/// Walks every chain in the store from the newest record to the first and answers how many records were verified.
///
/// # Errors
/// [`VerifyError::Broken`] at the first record that does not follow from the one before it.
pub async fn verify_audit(store: &dyn Store) -> Result<u64, VerifyError> {
    let mut verified = 0;
    let mut before = None;
    // The oldest record seen of each writer; it is verified when the one before it is read.
    let mut waiting: BTreeMap<ApplianceId, AuditRow> = BTreeMap::new();
    loop {
        let rows = store.audit(AuditFilter { before, limit: PAGE, ..AuditFilter::default() }).await?;
        let Some(last) = rows.last() else { break };
        before = Some(last.number);
        for row in rows {
            verified += 1;
            let link = Link { position: row.position, hash: parse_hash(&row.hash).ok_or_else(|| broken(&row))? };
            if let Some(newer) = waiting.insert(row.writer, row) {
                follows(link, &newer)?;
            }
        }
    }
    waiting.values().try_for_each(|first| follows(Link::START, first))?;
    Ok(verified)
}

fn follows(previous: Link, row: &AuditRow) -> Result<(), VerifyError> {
    let expected = previous.next(&row.record);
    let holds = expected.position == row.position && expected.hash_text() == row.hash;
    if holds { Ok(()) } else { Err(broken(row)) }
}

fn broken(row: &AuditRow) -> VerifyError {
    VerifyError::Broken { writer: row.writer, position: row.position }
}

fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    let mut digits = text.bytes().map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    for byte in &mut hash {
        *byte = (digits.next()?? << 4) | digits.next()??;
    }
    digits.next().is_none().then_some(hash)
}

/// The record of an event as it is hashed and kept: one flat JSON object with the common members of D 30.
pub(crate) fn record(event: AuditEvent, collective: Uuid, now: OffsetDateTime) -> Result<String, time::error::Format> {
    let mut members = event.members;
    let common = [
        ("id", Value::from(Uuid::new_v4().to_string())),
        ("timestamp", Value::from(timestamp(now)?)),
        ("event_type", Value::from(event.event_type)),
        ("version", Value::from(RECORD_VERSION)),
        ("daemon", Value::from("cz-controllerd")),
        ("collective_id", Value::from(collective.to_string())),
    ];
    members.extend(common.map(|(name, value)| (name.to_owned(), value)));
    Ok(Value::Object(members).to_string())
}

/// A time as records and documents carry it: ISO-8601 in UTC with microseconds (D 27).
pub(crate) fn timestamp(now: OffsetDateTime) -> Result<String, time::error::Format> {
    now.to_offset(UtcOffset::UTC).format(TIMESTAMP)
}

const TIMESTAMP: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");

/// Version of the record's shape (D 30).
const RECORD_VERSION: u32 = 2;

/// How many records are read at a time.
const PAGE: u32 = 1000;
