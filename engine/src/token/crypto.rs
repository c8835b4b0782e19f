//! Keys, and the signature layer of tokens: `jsonwebtoken` over ring's Ed25519.

use std::{collections::BTreeMap, fmt, sync::Once};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{Error as JwtError, ErrorKind},
};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use signature::{Error as SignatureError, Signer, Verifier};

use super::{MAX_TOKEN_BYTES, TokenError};

/// Names a verifying key: the first 16 hex digits of the SHA-256 of its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    fn of(public: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, public);
        Self(digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key that signs tokens. Has no `Debug`.
pub struct SigningKey {
    id: KeyId,
    public: [u8; 32],
    encoding: EncodingKey,
}

impl SigningKey {
    /// Reads a PKCS#8 document as ring generates it.
    ///
    /// # Errors
    /// [`TokenError::Key`] when it holds no Ed25519 key.
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, TokenError> {
        install_provider();
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(document).map_err(|_| TokenError::Key)?;
        let public: [u8; 32] = pair.public_key().as_ref().try_into().map_err(|_| TokenError::Key)?;
        Ok(Self { id: KeyId::of(&public), public, encoding: EncodingKey::from_ed_der(document) })
    }

    /// The key's name.
    pub fn id(&self) -> &KeyId {
        &self.id
    }

    /// The verifying half.
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    pub(super) fn sign<T: Serialize>(&self, typ: &str, body: &T) -> Result<String, TokenError> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.typ = Some(typ.to_owned());
        header.kid = Some(self.id.0.clone());
        jsonwebtoken::encode(&header, body, &self.encoding).map_err(|_| TokenError::Malformed)
    }
}

/// The pinned verifying keys by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: BTreeMap<KeyId, [u8; 32]>,
}

impl KeySet {
    /// Pins keys.
    pub fn new(keys: impl IntoIterator<Item = [u8; 32]>) -> Self {
        Self { keys: keys.into_iter().map(|public| (KeyId::of(&public), public)).collect() }
    }

    /// The pinned keys.
    pub fn keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.keys.values()
    }

    pub(super) fn open<T: DeserializeOwned>(&self, text: &str, typ: &str) -> Result<T, TokenError> {
        install_provider();
        if text.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let header = read_header(text)?;
        if header.alg != "EdDSA" {
            return Err(TokenError::Algorithm);
        }
        if header.typ.as_deref() != Some(typ) {
            return Err(TokenError::Kind);
        }
        let kid = KeyId(header.kid.ok_or(TokenError::Key)?);
        let public = self.keys.get(&kid).ok_or(TokenError::Key)?;
        // The engine compares times, issuer and audience itself, with the `now` it is given.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        match jsonwebtoken::decode(text, &DecodingKey::from_ed_der(public), &validation) {
            Ok(data) => Ok(data.claims),
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => Err(TokenError::Signature),
            Err(_) => Err(TokenError::Malformed),
        }
    }
}

#[derive(Deserialize)]
struct RawHeader {
    alg: String,
    typ: Option<String>,
    kid: Option<String>,
}

/// Reads the header by hand, because a foreign algorithm must be told apart from a broken token.
fn read_header(text: &str) -> Result<RawHeader, TokenError> {
    let (header, _) = text.split_once('.').ok_or(TokenError::Malformed)?;
    let json = URL_SAFE_NO_PAD.decode(header).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

fn install_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // Another installation in the same process can only be this very one.
        let _ = PROVIDER.install_default();
    });
}

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(RingSigner::new(key)?)),
        _ => Err(JwtError::from(ErrorKind::InvalidAlgorithm)),
    },
    verifier_factory: |algorithm, key| match algorithm {
        Algorithm::EdDSA => Ok(Box::new(RingVerifier(key.try_get_as_bytes()?.to_vec()))),
        _ => Err(JwtError::from(ErrorKind::InvalidAlgorithm)),
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct RingSigner(Ed25519KeyPair);

impl RingSigner {
    fn new(key: &EncodingKey) -> Result<Self, JwtError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.as_bytes());
        pair.map(Self).map_err(|_| JwtError::from(ErrorKind::InvalidEddsaKey))
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

struct RingVerifier(Vec<u8>);

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), SignatureError> {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(message, signature).map_err(|_| SignatureError::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}
