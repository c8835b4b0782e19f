//! Trusted certificates (D 24): checked when they are saved, and shown with what stands in them.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{SHA256, digest};
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::api::{error::ApiError, view};

/// The one certificate of a PEM text; nothing when it holds none, several, or one that cannot be read.
pub(crate) fn parse(pem: &str) -> Option<CertificateDer<'static>> {
    let certificate = protocol::tls::trust_anchor_of_pem(pem)?;
    let readable = X509Certificate::from_der(&certificate).is_ok_and(|(rest, _)| rest.is_empty());
    readable.then_some(certificate)
}

/// Adds the read-only `details`.
pub(crate) fn show(members: &mut Map<String, Value>) -> Result<(), ApiError> {
    let Some(certificate) = members.get("pem").and_then(Value::as_str).and_then(parse) else { return Ok(()) };
    let Ok((_, parsed)) = X509Certificate::from_der(&certificate) else { return Ok(()) };
    let moment = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let details = json!({
        "version": parsed.version().0.saturating_add(1),
        "serial": parsed.tbs_certificate.serial.to_string(),
        "issuer": parsed.issuer().to_string(),
        "subject": parsed.subject().to_string(),
        "validFrom": view::timestamp(moment(parsed.validity().not_before.timestamp()))?,
        "validTo": view::timestamp(moment(parsed.validity().not_after.timestamp()))?,
        "fingerprint": hex(digest(&SHA256, &certificate).as_ref()),
        "certificate": STANDARD.encode(&certificate),
        "subjectPublicKey": STANDARD.encode(parsed.public_key().raw),
    });
    members.insert("details".to_owned(), details);
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String never fails.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
