//! How records are linked: SHA-256 over the 32 bytes of the previous hash and the bytes of the record; the first record
//! follows 32 zero bytes.

use std::fmt::Write as _;

use protocol::message::ChainedRecord;
use ring::digest::{SHA256, digest};

/// The head of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) position: u64,
    hash: [u8; 32],
}

impl Head {
    /// Before the first record.
    pub(super) const START: Self = Self { position: 0, hash: [0; 32] };

    /// The head a record makes, taken as it is.
    pub(super) fn of(record: &ChainedRecord) -> Option<Self> {
        let mut hash = [0; 32];
        if record.hash.len() != 64 {
            return None;
        }
        let digits: Vec<u32> = record.hash.chars().map_while(|digit| digit.to_digit(16)).collect();
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair.iter().fold(0, |value, digit| value * 16 + digit)).ok()?;
        }
        (digits.len() == 64).then_some(Self { position: record.position, hash })
    }

    /// Links a record.
    pub(super) fn link(&mut self, record: String) -> ChainedRecord {
        let hashed = digest(&SHA256, &[self.hash.as_slice(), record.as_bytes()].concat());
        self.hash.copy_from_slice(hashed.as_ref());
        self.position += 1;
        ChainedRecord { position: self.position, record, hash: self.text() }
    }

    /// Whether a record follows this head.
    pub(super) fn precedes(mut self, record: &ChainedRecord) -> bool {
        let linked = self.link(record.record.clone());
        linked.position == record.position && linked.hash == record.hash
    }

    fn text(&self) -> String {
        self.hash.iter().fold(String::with_capacity(64), |mut text, byte| {
            // Writing to a String never fails.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}
