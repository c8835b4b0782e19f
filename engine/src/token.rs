//! Tokens: what is signed, and the one way to believe it.
//!
//! A token is a JWT ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)) signed with Ed25519. The algorithm is fixed, the
//! key comes from a pinned set by its `kid`, the `typ` says the kind. Nothing in this system acts on token contents that
//! did not come out of [`verify`] as [`Verified`].
//! Claims, device claims and entitlement tokens are bound to the session's certificate
//! ([RFC 8705, section 3.1](https://www.rfc-editor.org/rfc/rfc8705#section-3.1)); on any other connection they are refused.

mod crypto;
mod err;
mod jwe;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    dn::DistinguishedName,
    id::{AdministrativeRoleId, ApplianceId, EntitlementId, IdentityProviderId, SessionId, SiteId, TokenId},
    revocation::{Revocations, TokenFacts},
};

pub use crypto::{KeyId, KeySet, SigningKey};
pub use err::TokenError;
pub use jwe::{ClaimsKey, JweError};

/// The kinds of token (design 4, D 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TokenKind {
    /// Who the user is.
    Claims,
    /// What the device reported; countersigned, untrusted.
    DeviceClaims,
    /// What was granted on one Site.
    Entitlement,
    /// An administrator who authenticated but is not authorized yet.
    AdminClaims,
    /// The bearer token of the admin API.
    Administration,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Claims, Self::DeviceClaims, Self::Entitlement, Self::AdminClaims, Self::Administration];

    /// The `typ` header.
    pub fn typ(self) -> &'static str {
        match self {
            Self::Claims => "claims+jwt",
            Self::DeviceClaims => "device-claims+jwt",
            Self::Entitlement => "entitlement+jwt",
            Self::AdminClaims => "admin-claims+jwt",
            Self::Administration => "admin+jwt",
        }
    }

    /// The name in requests of the admin API; the answer form is the same in lower case (D 3).
    pub fn api_name(self) -> &'static str {
        match self {
            Self::Claims => "Claims",
            Self::DeviceClaims => "DeviceClaims",
            Self::Entitlement => "Entitlement",
            Self::AdminClaims => "AdminClaims",
            Self::Administration => "Administration",
        }
    }

    /// Whether the token is bound to a session key.
    pub fn is_bound(self) -> bool {
        match self {
            Self::Claims | Self::DeviceClaims | Self::Entitlement => true,
            Self::AdminClaims | Self::Administration => false,
        }
    }
}

impl FromStr for TokenKind {
    type Err = UnknownTokenKind;

    fn from_str(text: &str) -> Result<Self, UnknownTokenKind> {
        Self::ALL.into_iter().find(|kind| kind.api_name() == text).ok_or_else(|| UnknownTokenKind(text.to_owned()))
    }
}

/// A token kind nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no kind of token")]
pub struct UnknownTokenKind(String);

/// SHA-256 of the certificate (DER) a token is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint([u8; 32]);

impl Thumbprint {
    /// The thumbprint of a certificate in DER form.
    pub fn of(certificate: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Who a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Every controller and gateway of the collective.
    Collective(Uuid),
    /// The gateways of one Site.
    Site(SiteId),
    /// The controllers' admin API.
    Controller(Uuid),
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collective(id) => write!(f, "{id}"),
            Self::Site(id) => write!(f, "{id}"),
            Self::Controller(id) => write!(f, "controller:{id}"),
        }
    }
}

/// A token before it is signed.
#[derive(Debug, Clone)]
pub struct Token {
    /// `jti`.
    pub id: TokenId,
    /// `iss`: the collective.
    pub issuer: Uuid,
    /// `sub`.
    pub name: DistinguishedName,
    /// `aud`.
    pub audience: Audience,
    /// Session and certificate, for the bound kinds.
    pub binding: Option<(SessionId, Thumbprint)>,
    /// `iat` and `nbf`.
    pub issued: OffsetDateTime,
    /// `exp`.
    pub expires: OffsetDateTime,
    /// `rev`: the sequence the token was decided at.
    pub decided_at: u64,
    /// What the kind carries.
    pub content: Content,
}

/// What a token carries beside its frame.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// See [`TokenKind::Claims`].
    Claims(UserContent),
    /// See [`TokenKind::DeviceClaims`].
    DeviceClaims {
        /// As the device reported them.
        device: Map<String, Value>,
    },
    /// See [`TokenKind::Entitlement`].
    Entitlement(EntitlementContent),
    /// See [`TokenKind::AdminClaims`].
    AdminClaims(UserContent),
    /// See [`TokenKind::Administration`].
    Administration {
        /// Roles whose privileges the bearer has, read from the configuration at each call.
        roles: Vec<AdministrativeRoleId>,
    },
}

impl Content {
    /// The kind of token this is the content of.
    pub fn kind(&self) -> TokenKind {
        match self {
            Self::Claims(_) => TokenKind::Claims,
            Self::DeviceClaims { .. } => TokenKind::DeviceClaims,
            Self::Entitlement(_) => TokenKind::Entitlement,
            Self::AdminClaims(_) => TokenKind::AdminClaims,
            Self::Administration { .. } => TokenKind::Administration,
        }
    }
}

/// Who the user is, as claims and admin-claims tokens carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserContent {
    /// The provider that verified the user.
    pub provider: IdentityProviderId,
    /// When the user last authenticated; the absolute life counts from here.
    #[serde(with = "time::serde::timestamp")]
    pub authenticated: OffsetDateTime,
    /// User claims that anybody may read.
    pub user: Map<String, Value>,
    /// Compact JWE of the claims marked `encrypt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<String>,
    /// Remedies the user answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub responses: Vec<Response>,
}

/// A remedy the user answered: `{suffix, kind, at}` (design 3, 7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// The claim suffix of the remedy.
    pub suffix: String,
    /// How it was answered.
    pub kind: ResponseKind,
    /// When.
    #[serde(with = "time::serde::timestamp")]
    pub at: OffsetDateTime,
}

/// How a remedy was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResponseKind {
    /// The password was entered again.
    Password,
    /// A one-time code was right.
    Otp,
    /// A reason was given.
    Reason,
}

/// What was granted on one Site. Definitions reach the gateway as configuration, not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EntitlementContent {
    /// The Site.
    pub site: SiteId,
    /// Its name, for messages.
    pub site_name: String,
    /// `cfg`: the highest sequence among the granted objects; an older gateway waits for it.
    pub config: u64,
    /// The entitlements, each with the policies that granted it.
    pub grants: Vec<Grant>,
    /// What the user-claim scripts of the provider answered for this decision: `claims.user.agScripted` (D 8).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub scripted: Map<String, Value>,
    /// Where the Site's gateways listen.
    pub gateways: Vec<GatewayAddress>,
}

/// One granted entitlement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// The entitlement.
    pub entitlement: EntitlementId,
    /// Names of the policies that granted it.
    pub policies: Vec<String>,
}

/// A gateway a client may connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayAddress {
    /// The appliance; its certificate must say so.
    pub appliance: ApplianceId,
    /// Host name or address.
    pub host: String,
    /// UDP port.
    pub port: u16,
    /// Share of the clients it takes.
    pub weight: u32,
}

/// What a verifier insists on.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Kind.
    pub kind: TokenKind,
    /// Collective that must have issued it.
    pub issuer: Uuid,
    /// Audience.
    pub audience: Audience,
    /// Certificate of the connection it came on; must be given for bound kinds.
    pub presented_with: Option<Thumbprint>,
}

/// A token that passed [`verify`]. Nobody else can make one.
#[derive(Debug, Clone)]
pub struct Verified {
    token: Token,
}

impl Verified {
    /// The token as it was signed.
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// The claims of a claims or admin-claims token.
    pub fn user(&self) -> Option<&UserContent> {
        match &self.token.content {
            Content::Claims(content) | Content::AdminClaims(content) => Some(content),
            Content::DeviceClaims { .. } | Content::Entitlement(_) | Content::Administration { .. } => None,
        }
    }

    /// The content of an entitlement token.
    pub fn entitlement(&self) -> Option<&EntitlementContent> {
        match &self.token.content {
            Content::Entitlement(content) => Some(content),
            Content::Claims(_)
            | Content::AdminClaims(_)
            | Content::DeviceClaims { .. }
            | Content::Administration { .. } => None,
        }
    }

    /// The claims of a device-claims token.
    pub fn device(&self) -> Option<&Map<String, Value>> {
        match &self.token.content {
            Content::DeviceClaims { device } => Some(device),
            Content::Claims(_) | Content::AdminClaims(_) | Content::Entitlement(_) | Content::Administration { .. } => {
                None
            }
        }
    }
}

impl Token {
    /// What revocations are matched against.
    pub fn facts(&self) -> TokenFacts<'_> {
        TokenFacts {
            id: self.id,
            kind: self.content.kind(),
            name: &self.name,
            site: match &self.content {
                Content::Entitlement(content) => Some(content.site),
                Content::Claims(_)
                | Content::AdminClaims(_)
                | Content::DeviceClaims { .. }
                | Content::Administration { .. } => None,
            },
            decided_at: self.decided_at,
        }
    }

    /// Signs the token as a compact JWS.
    ///
    /// # Errors
    /// When the content cannot be written as JSON or the key cannot sign; neither happens with values of this crate.
    pub fn sign(&self, key: &SigningKey) -> Result<String, TokenError> {
        key.sign(self.content.kind().typ(), &Wire::from_token(self)?)
    }
}

/// Decides whether a token is believed: kind, algorithm, key, signature, issuer, audience, time, binding, revocation,
/// in this order. Each refusal has its own [`TokenError::code`], for the log; callers are told only that it was refused.
///
/// # Errors
/// The first reason not to believe it.
pub fn verify(
    text: &str,
    keys: &KeySet,
    expected: Expected,
    revocations: &Revocations,
    now: OffsetDateTime,
) -> Result<Verified, TokenError> {
    let wire: Wire = keys.open(text, expected.kind.typ())?;
    if wire.iss != expected.issuer {
        return Err(TokenError::Issuer);
    }
    if wire.aud != expected.audience.to_string() {
        return Err(TokenError::Audience);
    }
    let token = wire.into_token(expected)?;
    if now + NOT_BEFORE_LEEWAY < token.issued {
        return Err(TokenError::NotYetValid);
    }
    if now >= token.expires {
        return Err(TokenError::Expired);
    }
    check_binding(&token, expected)?;
    if let Some(rule) = revocations.in_effect(token.facts(), now) {
        return Err(TokenError::Revoked { seq: rule.seq, reason: rule.reason.clone() });
    }
    Ok(Verified { token })
}

fn check_binding(token: &Token, expected: Expected) -> Result<(), TokenError> {
    if !expected.kind.is_bound() {
        return Ok(());
    }
    let (_, bound) = token.binding.ok_or(TokenError::Unbound)?;
    match expected.presented_with {
        Some(presented) if presented == bound => Ok(()),
        Some(_) | None => Err(TokenError::Binding),
    }
}

/// How far a verifier's clock may lag behind the issuer's. Expiry has no leeway: late is late.
pub const NOT_BEFORE_LEEWAY: Duration = Duration::seconds(30);

/// Longest accepted token in bytes; all tokens of a client together may take 16 MB (D 3).
pub const MAX_TOKEN_BYTES: usize = 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Wire {
    iss: Uuid,
    sub: DistinguishedName,
    aud: String,
    jti: TokenId,
    iat: i64,
    nbf: i64,
    exp: i64,
    rev: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cnf: Option<BTreeMap<String, String>>,
    content: Value,
}

impl Wire {
    fn from_token(token: &Token) -> Result<Self, TokenError> {
        let content = match &token.content {
            Content::Claims(content) | Content::AdminClaims(content) => serde_json::to_value(content),
            Content::DeviceClaims { device } => Ok(Value::Object(device.clone())),
            Content::Entitlement(content) => serde_json::to_value(content),
            Content::Administration { roles } => serde_json::to_value(roles),
        };
        Ok(Self {
            iss: token.issuer,
            sub: token.name.clone(),
            aud: token.audience.to_string(),
            jti: token.id,
            iat: token.issued.unix_timestamp(),
            nbf: token.issued.unix_timestamp(),
            exp: token.expires.unix_timestamp(),
            rev: token.decided_at,
            sid: token.binding.map(|(session, _)| session),
            cnf: token
                .binding
                .map(|(_, print)| BTreeMap::from([(THUMBPRINT_MEMBER.to_owned(), URL_SAFE_NO_PAD.encode(print.0))])),
            content: content.map_err(|_| TokenError::Malformed)?,
        })
    }

    fn into_token(self, expected: Expected) -> Result<Token, TokenError> {
        let content = self.content;
        let content = match expected.kind {
            TokenKind::Claims => Content::Claims(parse(content)?),
            TokenKind::AdminClaims => Content::AdminClaims(parse(content)?),
            TokenKind::DeviceClaims => Content::DeviceClaims { device: parse(content)? },
            TokenKind::Entitlement => Content::Entitlement(parse(content)?),
            TokenKind::Administration => Content::Administration { roles: parse(content)? },
        };
        let binding = match (self.sid, self.cnf) {
            (Some(session), Some(cnf)) => Some((session, thumbprint(&cnf)?)),
            (None, None) => None,
            (Some(_), None) => return Err(TokenError::Unbound),
            (None, Some(_)) => return Err(TokenError::Malformed),
        };
        Ok(Token {
            id: self.jti,
            issuer: self.iss,
            name: self.sub,
            audience: expected.audience,
            binding,
            issued: instant(self.nbf.max(self.iat))?,
            expires: instant(self.exp)?,
            decided_at: self.rev,
            content,
        })
    }
}

fn parse<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, TokenError> {
    serde_json::from_value(value).map_err(|_| TokenError::Malformed)
}

fn instant(seconds: i64) -> Result<OffsetDateTime, TokenError> {
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|_| TokenError::Malformed)
}

fn thumbprint(cnf: &BTreeMap<String, String>) -> Result<Thumbprint, TokenError> {
    let text = cnf.get(THUMBPRINT_MEMBER).ok_or(TokenError::Unbound)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| TokenError::Malformed)?;
    bytes.try_into().map(Thumbprint).map_err(|_| TokenError::Malformed)
}

const THUMBPRINT_MEMBER: &str = "x5t#S256";
