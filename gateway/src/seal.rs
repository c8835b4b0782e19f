//! Files that only this gateway can read: mode 0600, replaced as a whole, and where they are not the key itself, sealed
//! under a key derived from the gateway's private key.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, Salt},
    rand::{SecureRandom, SystemRandom},
};

/// Seals what the gateway keeps. Has no `Debug`.
pub(crate) struct SealingKey {
    key: LessSafeKey,
    random: SystemRandom,
}

/// What was read cannot be opened, or nothing can be sealed.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("sealed data is unreadable")]
pub(crate) struct SealError;

impl SealingKey {
    /// Derives the key from a private key.
    pub(crate) fn derive(private_key: &[u8]) -> Result<Self, SealError> {
        let secret = Salt::new(HKDF_SHA256, SALT).extract(private_key);
        let info = [INFO];
        let material = secret.expand(&info, &AES_256_GCM).map_err(|_| SealError)?;
        Ok(Self { key: LessSafeKey::new(UnboundKey::from(material)), random: SystemRandom::new() })
    }

    /// Seals; `purpose` keeps one file from being taken for another.
    pub(crate) fn seal(&self, purpose: &str, mut plain: Vec<u8>) -> Result<Vec<u8>, SealError> {
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| SealError)?;
        let aad = Aad::from(purpose.as_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut plain)
            .map_err(|_| SealError)?;
        Ok([nonce.as_slice(), &plain].concat())
    }

    /// Opens what [`Self::seal`] made for the same purpose.
    pub(crate) fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (nonce, body) = sealed.split_at_checked(NONCE_LEN).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut body = body.to_vec();
        let plain = self.key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut body).map_err(|_| SealError)?;
        Ok(plain.to_vec())
    }
}

/// Replaces a file; after a crash at any moment either the old or the new one is there, whole.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// Reads a file; `None` when there is none.
pub(crate) fn read_private(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

const SALT: &[u8] = b"portcullis gateway";
const INFO: &[u8] = b"data at rest";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_purpose_open() {
        let key = SealingKey::derive(b"one").unwrap();
        let sealed = key.seal("config", b"secret".to_vec()).unwrap();
        assert_eq!(key.open("config", &sealed).unwrap(), b"secret");
        assert!(key.open("heard", &sealed).is_err());
        assert!(SealingKey::derive(b"two").unwrap().open("config", &sealed).is_err());
        assert!(key.open("config", &sealed[..5]).is_err());
    }
}
