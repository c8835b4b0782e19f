//! Sealing of secrets and keys under the master key.
//!
//! The master key is a file of 32 random bytes that only its owner may read; it never stands in the store. Values are
//! sealed with AES-256-GCM under a random nonce, bound to the table and the key columns they stand in, so that a sealed
//! value moved to another row does not open. Nothing here has `Debug`, and no error carries a value.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use uuid::Uuid;
use zeroize::Zeroizing;

/// The key that seals everything secret in a store.
pub struct MasterKey {
    key: LessSafeKey,
    random: SystemRandom,
}

/// Where a sealed value stands; it opens nowhere else.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Table.
    pub table: &'static str,
    /// Key columns, in order.
    pub key: &'a [&'a str],
}

/// Errors from reading or making a master key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// The file does not exist.
    #[error("the master key `{0}` is missing; a store opens only with the key it was made with")]
    Missing(PathBuf),
    /// Others than the owner may read or write the file.
    #[error(
        "the master key `{path}` has mode {mode:04o}; others may open it, so set it to 0600 and replace what it sealed"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a key.
    #[error("the master key `{0}` does not hold exactly {MASTER_KEY_BYTES} bytes")]
    Length(PathBuf),
    /// The file exists already.
    #[error("the master key `{0}` exists already")]
    Exists(PathBuf),
    /// The file could not be read or written.
    #[error("the master key `{path}` could not be read or written")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gave no random bytes.
    #[error("no random bytes for a master key")]
    Random,
}

impl MasterKeyError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "master-key.missing",
            Self::Exposed { .. } => "master-key.exposed",
            Self::Length(_) => "master-key.length",
            Self::Exists(_) => "master-key.exists",
            Self::File { .. } => "master-key.file",
            Self::Random => "master-key.random",
        }
    }
}

/// A value could not be sealed or opened. Says no more on purpose.
#[derive(Debug, thiserror::Error)]
#[error("a sealed value does not open with this master key")]
pub struct SealError;

impl MasterKey {
    /// Reads the key from its file.
    ///
    /// # Errors
    /// [`MasterKeyError::Exposed`] when anybody but the owner has any access to the file.
    pub fn load(path: &Path) -> Result<Self, MasterKeyError> {
        let failed = |source| MasterKeyError::File { path: path.to_owned(), source };
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => MasterKeyError::Missing(path.to_owned()),
            _ => failed(error),
        })?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(MasterKeyError::Exposed { path: path.to_owned(), mode });
        }
        // One byte more than a key is asked for, so that a longer file is noticed.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MASTER_KEY_BYTES + 1));
        file.take(MASTER_KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Self::from_bytes(&bytes).ok_or_else(|| MasterKeyError::Length(path.to_owned()))
    }

    /// Makes a key and its file.
    ///
    /// # Errors
    /// [`MasterKeyError::Exists`] when there is a file of that name; it is left alone.
    pub fn create(path: &Path) -> Result<Self, MasterKeyError> {
        let mut bytes = Zeroizing::new([0; MASTER_KEY_BYTES]);
        SystemRandom::new().fill(bytes.as_mut_slice()).map_err(|_| MasterKeyError::Random)?;
        write_new(path, bytes.as_slice()).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => MasterKeyError::Exists(path.to_owned()),
            _ => MasterKeyError::File { path: path.to_owned(), source },
        })?;
        Self::from_bytes(bytes.as_slice()).ok_or(MasterKeyError::Random)
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&AES_256_GCM, bytes).ok()?;
        Some(Self { key: LessSafeKey::new(key), random: SystemRandom::new() })
    }

    /// Seals a value for its place.
    ///
    /// # Errors
    /// When there are no random bytes or the value is absurdly long.
    pub fn seal(&self, place: Place<'_>, value: &[u8]) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError)?;
        // The capacity is final, so that no copy of the plaintext stays behind in freed memory.
        let mut body = Vec::with_capacity(value.len() + AES_256_GCM.tag_len());
        body.extend_from_slice(value);
        let aad = Aad::from(place.bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut body)
            .map_err(|_| SealError)?;
        Ok([nonce.as_slice(), &body].concat())
    }

    /// Opens what [`MasterKey::seal`] sealed for the same place.
    ///
    /// # Errors
    /// When key, place or value are not those it was sealed with.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(SealError)?;
        let mut value = body.to_vec();
        let aad = Aad::from(place.bytes());
        let length =
            self.key.open_in_place(Nonce::assume_unique_for_key(*nonce), aad, &mut value).map_err(|_| SealError)?.len();
        value.truncate(length);
        Ok(value)
    }
}

impl Place<'_> {
    /// Table and key columns, each behind its length, so that two places never read the same.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in [self.table].iter().chain(self.key) {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Writes the file under another name and links it, so that a crash leaves either no key or a whole one.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = directory.join(format!(".master-key-{}", Uuid::new_v4().simple()));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::hard_link(&draft, path)
    });
    let removed = fs::remove_file(&draft);
    written.and(removed)?;
    File::open(directory)?.sync_all()
}

const MASTER_KEY_BYTES: usize = 32;
