//! The file records wait in: one JSON line each, appended. Its first line may be a record that was shipped already; it
//! holds the place of everything before it.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

use protocol::message::ChainedRecord;

use super::chain::Head;
use crate::seal;

/// Errors from the file of unshipped audit records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditFileError {
    /// It cannot be read or written.
    #[error("the audit file cannot be used")]
    Io(#[source] io::Error),
    /// Its records do not follow from each other.
    #[error("the audit file is broken at line {line}; keep it for inspection and enrol the gateway again")]
    Broken {
        /// Counted from 1.
        line: usize,
    },
}

/// Records on disk, appended.
pub(super) struct AuditFile {
    path: PathBuf,
    file: File,
    bytes: usize,
    head: Head,
    unsynced: bool,
}

/// Records no controller has acknowledged, oldest first.
#[derive(Default)]
pub(super) struct Waiting {
    pub(super) records: VecDeque<ChainedRecord>,
    pub(super) bytes: usize,
    /// The last acknowledged one: it holds the chain's place when the file is written anew.
    anchor: Option<ChainedRecord>,
}

impl Waiting {
    pub(super) fn push(&mut self, record: ChainedRecord) {
        self.bytes += record.record.len();
        self.records.push_back(record);
    }

    pub(super) fn acknowledge(&mut self, position: u64) {
        while let Some(record) = self.records.pop_front_if(|record| record.position <= position) {
            self.bytes = self.bytes.saturating_sub(record.record.len());
            self.anchor = Some(record);
        }
    }

    /// What the file must hold: everything that waits, after the record before it.
    pub(super) fn kept(&self) -> Vec<ChainedRecord> {
        self.anchor.iter().chain(&self.records).cloned().collect()
    }
}

impl AuditFile {
    pub(super) fn open(path: PathBuf) -> Result<(Self, Waiting), AuditFileError> {
        let bytes = seal::read_private(&path).map_err(AuditFileError::Io)?.unwrap_or_default();
        let (records, whole) = read(&bytes)?;
        let head = records.back().and_then(Head::of).unwrap_or(Head::START);
        let options = || OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        let file = options().map_err(AuditFileError::Io)?;
        // A line cut off by a crash was never shipped.
        file.set_len(whole as u64).map_err(AuditFileError::Io)?;
        let mut waiting = Waiting::default();
        records.into_iter().for_each(|record| waiting.push(record));
        Ok((Self { path, file, bytes: whole, head, unsynced: false }, waiting))
    }

    /// Chains and appends records; they are returned chained whatever the disk says.
    pub(super) fn append(&mut self, records: Vec<String>) -> (Vec<ChainedRecord>, io::Result<()>) {
        let chained: Vec<ChainedRecord> = records.into_iter().map(|record| self.head.link(record)).collect();
        let lines = lines(&chained);
        self.bytes += lines.len();
        self.unsynced = true;
        let written = self.file.write_all(&lines);
        (chained, written)
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        self.file.sync_data()
    }

    /// Whether most of the file is records that were shipped.
    pub(super) fn is_stale(&self, waiting: &Waiting) -> bool {
        waiting.anchor.is_some() && self.bytes > MIN_REWRITE && self.bytes / 4 > waiting.bytes
    }

    /// Writes the file anew with what is still waiting.
    pub(super) fn rewrite(&mut self, kept: &[ChainedRecord]) -> io::Result<()> {
        let lines = lines(kept);
        seal::write_private(&self.path, &lines)?;
        self.file = OpenOptions::new().append(true).open(&self.path)?;
        self.bytes = lines.len();
        self.unsynced = false;
        Ok(())
    }
}

fn lines(records: &[ChainedRecord]) -> Vec<u8> {
    let mut lines = Vec::new();
    for record in records {
        // Writing to memory fails for no record.
        let _ = serde_json::to_writer(&mut lines, record);
        lines.push(b'\n');
    }
    lines
}

/// The records, and how many bytes of whole lines there are.
fn read(bytes: &[u8]) -> Result<(VecDeque<ChainedRecord>, usize), AuditFileError> {
    let mut records: VecDeque<ChainedRecord> = VecDeque::new();
    let mut whole = 0;
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        if !line.ends_with(b"\n") {
            break;
        }
        let broken = || AuditFileError::Broken { line: index + 1 };
        let record: ChainedRecord = serde_json::from_slice(line).map_err(|_| broken())?;
        let follows = match records.back().map(Head::of) {
            Some(head) => head.is_some_and(|head| head.precedes(&record)),
            None => Head::of(&record).is_some() && (record.position != 1 || Head::START.precedes(&record)),
        };
        if !follows {
            return Err(broken());
        }
        whole += line.len();
        records.push_back(record);
    }
    Ok((records, whole))
}

/// Smaller files are not worth writing anew.
const MIN_REWRITE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_goes_on_after_a_crash_and_a_rewrite() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.jsonl");
        let (mut file, mut waiting) = AuditFile::open(path.clone()).unwrap();
        file.append(vec!["one".into(), "two".into()]).0.into_iter().for_each(|record| waiting.push(record));
        file.file.write_all(b"{\"position\":3,\"rec").unwrap();

        let (mut file, mut waiting) = AuditFile::open(path.clone()).unwrap();
        assert_eq!(waiting.records.len(), 2);
        waiting.acknowledge(2);
        file.rewrite(&waiting.kept()).unwrap();
        let (third, written) = file.append(vec!["three".into()]);
        written.unwrap();
        assert_eq!(third[0].position, 3);

        let (_, waiting) = AuditFile::open(path.clone()).unwrap();
        assert_eq!(waiting.records.iter().map(|record| record.position).collect::<Vec<_>>(), [2, 3]);
        std::fs::write(&path, String::from_utf8(std::fs::read(&path).unwrap()).unwrap().replace("three", "four"))
            .unwrap();
        assert!(matches!(AuditFile::open(path), Err(AuditFileError::Broken { line: 2 })));
    }
}
