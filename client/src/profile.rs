//! Profiles: where the controllers are, which authority to trust, and who signs the user in (D 2.1, D 26).
//!
//! A profile holds no secret. Its URL is `appgate://host[:port]/<base64 of a JSON object>`; members of the object that
//! are not known here are skipped, because other clients of the same profile have their own.

use std::{fmt, str::FromStr};

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use protocol::tls::{AuthorityPin, TlsError};
use serde::{Deserialize, Serialize};

/// Where to sign in and whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Controllers as `host:port`, tried in this order.
    pub controllers: Vec<String>,
    /// The collective's certificate authority.
    pub ca_fingerprint: AuthorityPin,
    /// Name of the identity provider.
    pub provider: String,
}

impl FromStr for Profile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        let shape = || ProfileError::Shape;
        let rest = text.trim().strip_prefix(SCHEME).ok_or_else(shape)?;
        let (host, payload) = rest.split_once('/').ok_or_else(shape)?;
        let controller = with_port(host)?;
        let wire: Wire = serde_json::from_slice(&decode(payload)?).map_err(ProfileError::Content)?;
        if wire.provider.is_empty() {
            return Err(ProfileError::NoProvider);
        }
        let ca_fingerprint = AuthorityPin::parse(&wire.fingerprint).map_err(ProfileError::Fingerprint)?;
        Ok(Self { controllers: vec![controller], ca_fingerprint, provider: wire.provider })
    }
}

/// The profile's URL; it names the first controller only.
impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wire = Wire { fingerprint: self.ca_fingerprint.to_string(), provider: self.provider.clone() };
        let json = serde_json::to_vec(&wire).map_err(|_| fmt::Error)?;
        let host = self.controllers.first().map(String::as_str).unwrap_or_default();
        write!(f, "{SCHEME}{host}/{}", STANDARD.encode(json))
    }
}

/// Errors from reading a profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Not such a URL.
    #[error("a profile looks like `appgate://host:port/...`; copy it whole, as your administrator gave it to you")]
    Shape,
    /// The host part is no host, or its port no port.
    #[error("`{0}` is not a host with an optional port")]
    Host(String),
    /// The part after the host is not base64.
    #[error("the profile was damaged on its way; copy it whole, as your administrator gave it to you")]
    Encoding(#[source] base64::DecodeError),
    /// Not the JSON a profile holds.
    #[error("the profile does not hold what a profile holds; ask your administrator for a new one")]
    Content(#[source] serde_json::Error),
    /// The fingerprint is none.
    #[error("the profile's fingerprint is broken; ask your administrator for a new one")]
    Fingerprint(#[source] TlsError),
    /// No identity provider.
    #[error("the profile names no identity provider; ask your administrator for a new one")]
    NoProvider,
}

impl ProfileError {
    /// Stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape => "profile.shape",
            Self::Host(_) => "profile.host",
            Self::Encoding(_) => "profile.encoding",
            Self::Content(_) => "profile.content",
            Self::Fingerprint(_) => "profile.fingerprint",
            Self::NoProvider => "profile.provider",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Wire {
    #[serde(rename = "caFingerprint")]
    fingerprint: String,
    #[serde(rename = "identityProviderName")]
    provider: String,
}

fn with_port(host: &str) -> Result<String, ProfileError> {
    let error = || ProfileError::Host(host.to_owned());
    let plain = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    if let Some(rest) = host.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or_else(error)?;
        address.parse::<std::net::Ipv6Addr>().map_err(|_| error())?;
        let port = if port.is_empty() {
            DEFAULT_PORT
        } else {
            parse_port(port.strip_prefix(':').ok_or_else(error)?).ok_or_else(error)?
        };
        return Ok(format!("[{address}]:{port}"));
    }
    match host.split_once(':') {
        None if plain(host) => Ok(format!("{host}:{DEFAULT_PORT}")),
        Some((name, port)) if plain(name) => Ok(format!("{name}:{}", parse_port(port).ok_or_else(error)?)),
        None | Some(_) => Err(error()),
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

fn decode(payload: &str) -> Result<Vec<u8>, ProfileError> {
    let payload = payload.trim_end_matches('/');
    STANDARD.decode(payload).or_else(|_| URL_SAFE.decode(payload)).map_err(ProfileError::Encoding)
}

const SCHEME: &str = "appgate://";

/// The client port of a controller (D 26).
const DEFAULT_PORT: u16 = 443;

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

#[cfg(test)]
mod tests {
    use super::*;

    const PIN: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    fn url(host: &str, json: &str) -> String {
        format!("appgate://{host}/{}", STANDARD.encode(json))
    }

    fn good() -> String {
        format!(r#"{{"caFingerprint":"{PIN}","identityProviderName":"local","spaKeyName":"ignored"}}"#)
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        let found = text.parse::<Profile>();
        let found = found.as_ref().map(|profile| profile.controllers.join(",")).map_err(ProfileError::code);
        assert_eq!(found, expected.map(str::to_owned), "{text}");
    }

    #[test]
    fn hosts_and_ports() {
        check(&url("c.example.com", &good()), Ok("c.example.com:443"));
        check(&url("c.example.com:8443", &good()), Ok("c.example.com:8443"));
        check(&url("127.0.0.1:9000", &good()), Ok("127.0.0.1:9000"));
        check(&url("[::1]:9000", &good()), Ok("[::1]:9000"));
        check(&url("[::1]", &good()), Ok("[::1]:443"));
        check(&url("", &good()), Err("profile.host"));
        check(&url("c:0", &good()), Err("profile.host"));
        check(&url("c:70000", &good()), Err("profile.host"));
        check(&url("a b", &good()), Err("profile.host"));
        check(&url("[zz]", &good()), Err("profile.host"));
    }

    #[test]
    fn broken_profiles_are_refused_with_their_reason() {
        check("https://c/e30=", Err("profile.shape"));
        check("appgate://c", Err("profile.shape"));
        check("appgate://c/%%%", Err("profile.encoding"));
        check(&url("c", "{}"), Err("profile.content"));
        check(&url("c", r#"{"caFingerprint":"00","identityProviderName":"local"}"#), Err("profile.fingerprint"));
        check(&url("c", &good().replace("local", "")), Err("profile.provider"));
    }

    #[test]
    fn both_alphabets_and_missing_padding_are_read() {
        let json = good().replace("local", "ldap ???>>>");
        let standard = STANDARD.encode(&json);
        let bare = URL_SAFE.encode(&json).trim_end_matches('=').to_owned();
        assert_ne!(standard.trim_end_matches('='), bare);
        let read = |text: &str| format!("appgate://c/{text}").parse::<Profile>().unwrap();
        assert_eq!(read(&standard), read(&bare));
    }

    #[test]
    fn a_profile_survives_its_url() {
        let profile: Profile = url("c.example.com:8443", &good()).parse().unwrap();
        assert_eq!(profile.to_string().parse::<Profile>().unwrap(), profile);
        assert_eq!(profile.provider, "local");
    }
}
