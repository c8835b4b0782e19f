//! The keys tokens are signed with and encrypted claims are sealed with.
//!
//! They stand in the store, sealed under the master key. The signing keys are a list: the first signs, all verify, so
//! that a new key can take over while tokens of the old one still live.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use engine::token::{ClaimsKey, JweError, KeySet, SigningKey, TokenError};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::Ed25519KeyPair,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::{Op, Store, StoreError, Transaction};

/// Errors from reading or making keys.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The store failed.
    #[error("token keys cannot be read or stored")]
    Store(#[from] StoreError),
    /// The system gave no random bytes.
    #[error("no random bytes for token keys")]
    Random,
    /// What stands in the store is not a list of keys.
    #[error("the stored token keys are unreadable")]
    Stored,
    /// A stored key is no Ed25519 key.
    #[error("a stored token key is unusable")]
    Signing(#[from] TokenError),
    /// The stored key for encrypted claims is unusable.
    #[error("the stored key for encrypted claims is unusable")]
    Claims(#[from] JweError),
}

/// The keys of the collective. Has no `Debug`.
pub struct TokenKeys {
    signing: SigningKey,
    verifying: KeySet,
    claims: ClaimsKey,
    claims_bytes: Zeroizing<Vec<u8>>,
}

impl TokenKeys {
    /// Reads the keys, or makes and stores them on a fresh store.
    ///
    /// # Errors
    /// When they cannot be read, made or stored.
    pub async fn load(store: &dyn Store) -> Result<Self, KeyError> {
        let signing = match store.key(SIGNING_KEYS).await? {
            Some(stored) => Zeroizing::new(stored),
            None => put(store, SIGNING_KEYS, new_signing_keys()?).await?,
        };
        let claims = match store.key(CLAIMS_KEY).await? {
            Some(stored) => Zeroizing::new(stored),
            None => put(store, CLAIMS_KEY, new_claims_key()?).await?,
        };
        Self::read(&signing, claims)
    }

    /// The key that signs.
    pub fn signing(&self) -> &SigningKey {
        &self.signing
    }

    /// The keys that verify.
    pub fn verifying(&self) -> &KeySet {
        &self.verifying
    }

    /// Seals and opens encrypted claims.
    pub fn claims(&self) -> &ClaimsKey {
        &self.claims
    }

    /// The verifying keys as gateways get them.
    pub fn verifying_texts(&self) -> Vec<String> {
        self.verifying.keys().map(|key| STANDARD.encode(key)).collect()
    }

    /// The claims key as gateways get it.
    pub fn claims_text(&self) -> String {
        STANDARD.encode(self.claims_bytes.as_slice())
    }

    fn read(signing: &[u8], claims_bytes: Zeroizing<Vec<u8>>) -> Result<Self, KeyError> {
        let stored: StoredKeys = serde_json::from_slice(signing).map_err(|_| KeyError::Stored)?;
        let mut keys = Vec::new();
        for text in stored.keys {
            let document = Zeroizing::new(STANDARD.decode(Zeroizing::new(text)).map_err(|_| KeyError::Stored)?);
            keys.push(SigningKey::from_pkcs8(&document)?);
        }
        let verifying = KeySet::new(keys.iter().map(SigningKey::public).collect::<BTreeSet<_>>());
        let signing = keys.into_iter().next().ok_or(KeyError::Stored)?;
        let claims = ClaimsKey::new(&claims_bytes)?;
        Ok(Self { signing, verifying, claims, claims_bytes })
    }
}

/// The signing keys as stored, PKCS#8 in base64, the one that signs first.
#[derive(Serialize, Deserialize)]
struct StoredKeys {
    keys: Vec<String>,
}

async fn put(store: &dyn Store, name: &str, value: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let op = Op::PutKey { name: name.to_owned(), value: value.to_vec() };
    store.transact(Transaction { ops: vec![op], audit: Vec::new() }).await?;
    Ok(value)
}

fn new_signing_keys() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
    let stored = StoredKeys { keys: vec![STANDARD.encode(document.as_ref())] };
    serde_json::to_vec(&stored).map(Zeroizing::new).map_err(|_| KeyError::Stored)
}

fn new_claims_key() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut bytes = Zeroizing::new(vec![0; CLAIMS_KEY_BYTES]);
    SystemRandom::new().fill(&mut bytes).map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

const SIGNING_KEYS: &str = "token-signing-keys";
const CLAIMS_KEY: &str = "token-claims-key";
const CLAIMS_KEY_BYTES: usize = 32;
