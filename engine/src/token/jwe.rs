//! Claims that only controllers and gateways may read: compact JWE, `dir` with A256GCM
//! ([RFC 7516, section 7.1](https://www.rfc-editor.org/rfc/rfc7516#section-7.1)).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::{Map, Value};

/// The key that seals claims inside tokens. Has no `Debug`.
#[derive(Clone)]
pub struct ClaimsKey(LessSafeKey);

/// The sealed claims could not be opened or made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("encrypted claims are unreadable")]
pub struct JweError;

impl ClaimsKey {
    /// Takes in 32 random bytes.
    ///
    /// # Errors
    /// When the length is another.
    pub fn new(bytes: &[u8]) -> Result<Self, JweError> {
        UnboundKey::new(&AES_256_GCM, bytes).map(|key| Self(LessSafeKey::new(key))).map_err(|_| JweError)
    }

    /// Seals claims. The nonce must never repeat under one key; the caller draws it.
    ///
    /// # Errors
    /// When the claims cannot be written as JSON.
    pub fn seal(&self, claims: &Map<String, Value>, nonce: [u8; NONCE_LEN]) -> Result<String, JweError> {
        let mut text = serde_json::to_vec(claims).map_err(|_| JweError)?;
        let header = URL_SAFE_NO_PAD.encode(HEADER);
        let aad = Aad::from(header.as_bytes());
        let tag = self
            .0
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut text)
            .map_err(|_| JweError)?;
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(format!("{header}..{}.{}.{}", encode(&nonce), encode(&text), encode(tag.as_ref())))
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// For any other text, key or change.
    pub fn open(&self, text: &str) -> Result<Map<String, Value>, JweError> {
        let parts: Vec<&str> = text.split('.').collect();
        let [header, "", nonce, body, tag] = parts.as_slice() else { return Err(JweError) };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JweError);
        if decode(header)? != HEADER.as_bytes() {
            return Err(JweError);
        }
        let nonce = Nonce::try_assume_unique_for_key(&decode(nonce)?).map_err(|_| JweError)?;
        let mut sealed = decode(body)?;
        sealed.extend(decode(tag)?);
        let plain = self.0.open_in_place(nonce, Aad::from(header.as_bytes()), &mut sealed).map_err(|_| JweError)?;
        serde_json::from_slice(plain).map_err(|_| JweError)
    }
}

const HEADER: &str = r#"{"alg":"dir","enc":"A256GCM"}"#;
