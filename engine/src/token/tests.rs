//! Tests of tokens. The matrix: every kind of token against every way it can be wrong, and all ways at once; the code of
//! the refusal is computed by one obvious function and must be the one [`verify`] gives.

use std::collections::BTreeSet;

use ring::{hmac, rand::SystemRandom, signature::Ed25519KeyPair};
use serde_json::json;
use time::macros::datetime;

use super::*;
use crate::{
    dn::DnEnding,
    revocation::{RevocationRule, RevocationScope},
};

const NOW: OffsetDateTime = datetime!(2026-01-05 09:00 UTC);
const COLLECTIVE: Uuid = Uuid::from_u128(1);
const NAME: &str = "CN=4c07bc6757ea42ddb702c2d6c45419fc,CN=ana,OU=local";
const REVISION: u64 = 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichAudience {
    Right,
    OtherSite,
    OtherRole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichAlgorithm {
    EdDsa,
    None,
    /// HMAC keyed with the public key: the classic confusion.
    Hs256,
    Rs256,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichKey {
    Pinned,
    Unknown,
    /// Claims the pinned key's name but is signed by another.
    Impostor,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichTime {
    Valid,
    NotYet,
    Expired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichBinding {
    Right,
    OtherKey,
    Absent,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WhichRevocation {
    None,
    OtherUser,
    Announced,
    BeforeIssue,
    InEffect,
}

#[derive(Debug, Clone, Copy)]
struct Cell {
    presented: TokenKind,
    expected: TokenKind,
    audience: WhichAudience,
    algorithm: WhichAlgorithm,
    key: WhichKey,
    time: WhichTime,
    binding: WhichBinding,
    revocation: WhichRevocation,
}

impl Cell {
    const RIGHT: Self = Self {
        presented: TokenKind::Claims,
        expected: TokenKind::Claims,
        audience: WhichAudience::Right,
        algorithm: WhichAlgorithm::EdDsa,
        key: WhichKey::Pinned,
        time: WhichTime::Valid,
        binding: WhichBinding::Right,
        revocation: WhichRevocation::None,
    };

    /// The oracle: the first thing wrong, in the documented order.
    fn wanted(self) -> &'static str {
        let bound = self.expected.is_bound();
        match self {
            Self { algorithm: WhichAlgorithm::None | WhichAlgorithm::Hs256 | WhichAlgorithm::Rs256, .. } => {
                "token.algorithm"
            }
            Self { presented, expected, .. } if presented != expected => "token.kind",
            Self { key: WhichKey::Unknown, .. } => "token.key",
            Self { key: WhichKey::Impostor, .. } => "token.signature",
            Self { audience: WhichAudience::OtherSite | WhichAudience::OtherRole, .. } => "token.audience",
            Self { time: WhichTime::NotYet, .. } => "token.not-yet-valid",
            Self { time: WhichTime::Expired, .. } => "token.expired",
            Self { binding: WhichBinding::Absent, .. } if bound => "token.unbound",
            Self { binding: WhichBinding::OtherKey, .. } if bound => "token.binding",
            Self { revocation: WhichRevocation::InEffect, .. } => "token.revoked",
            _ => "believed",
        }
    }
}

struct Keys {
    pinned: SigningKey,
    other: SigningKey,
}

impl Keys {
    fn new() -> Self {
        let key =
            || SigningKey::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref()).unwrap();
        Self { pinned: key(), other: key() }
    }

    fn set(&self) -> KeySet {
        KeySet::new([self.pinned.public()])
    }

    fn sign(&self, cell: Cell, token: &Token) -> String {
        let key = if cell.key == WhichKey::Pinned { &self.pinned } else { &self.other };
        let text = token.sign(key).unwrap();
        let mut parts = text.splitn(3, '.');
        let (header, body, signature) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let mut header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
        if cell.key == WhichKey::Impostor {
            header["kid"] = json!(self.pinned.id());
        }
        let algorithm = match cell.algorithm {
            WhichAlgorithm::EdDsa if cell.key != WhichKey::Impostor => return text,
            WhichAlgorithm::EdDsa => "EdDSA",
            WhichAlgorithm::None => "none",
            WhichAlgorithm::Hs256 => "HS256",
            WhichAlgorithm::Rs256 => "RS256",
        };
        header["alg"] = json!(algorithm);
        let signed = format!("{}.{body}", URL_SAFE_NO_PAD.encode(header.to_string()));
        match cell.algorithm {
            WhichAlgorithm::None => format!("{signed}."),
            WhichAlgorithm::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &self.pinned.public());
                format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
            }
            WhichAlgorithm::EdDsa | WhichAlgorithm::Rs256 => format!("{signed}.{signature}"),
        }
    }
}

fn site(number: u128) -> SiteId {
    SiteId::new(Uuid::from_u128(number))
}

fn audience(kind: TokenKind) -> Audience {
    match kind {
        TokenKind::Claims | TokenKind::DeviceClaims => Audience::Collective(COLLECTIVE),
        TokenKind::Entitlement => Audience::Site(site(5)),
        TokenKind::AdminClaims | TokenKind::Administration => Audience::Controller(COLLECTIVE),
    }
}

fn content(kind: TokenKind) -> Content {
    let user = UserContent {
        provider: IdentityProviderId::new(Uuid::from_u128(7)),
        authenticated: NOW,
        user: Map::from_iter([("username".to_owned(), json!("ana"))]),
        encrypted: None,
        responses: vec![Response { suffix: "after-hours".into(), kind: ResponseKind::Reason, at: NOW }],
    };
    match kind {
        TokenKind::Claims => Content::Claims(user),
        TokenKind::AdminClaims => Content::AdminClaims(user),
        TokenKind::DeviceClaims => Content::DeviceClaims { device: Map::new() },
        TokenKind::Entitlement => Content::Entitlement(EntitlementContent {
            site: site(5),
            site_name: "Default Site".into(),
            config: 3,
            grants: vec![Grant { entitlement: EntitlementId::new(Uuid::from_u128(8)), policies: vec!["staff".into()] }],
            scripted: Map::new(),
            gateways: Vec::new(),
        }),
        TokenKind::Administration => {
            Content::Administration { roles: vec![AdministrativeRoleId::new(Uuid::from_u128(9))] }
        }
    }
}

fn session() -> SessionId {
    SessionId::new(Uuid::from_u128(6))
}

fn token(cell: Cell) -> Token {
    let bound_to = |certificate: &[u8]| Some((session(), Thumbprint::of(certificate)));
    let issued = match cell.time {
        WhichTime::Valid => NOW - Duration::minutes(1),
        WhichTime::NotYet => NOW + NOT_BEFORE_LEEWAY + Duration::seconds(1),
        WhichTime::Expired => NOW - Duration::hours(1),
    };
    Token {
        id: TokenId::new(Uuid::from_u128(4)),
        issuer: COLLECTIVE,
        name: NAME.parse().unwrap(),
        audience: match cell.audience {
            WhichAudience::Right => audience(cell.presented),
            WhichAudience::OtherSite => Audience::Site(site(77)),
            WhichAudience::OtherRole if cell.presented.is_bound() => Audience::Controller(COLLECTIVE),
            WhichAudience::OtherRole => Audience::Collective(COLLECTIVE),
        },
        binding: match cell.binding {
            WhichBinding::Right => bound_to(b"certificate"),
            WhichBinding::OtherKey => bound_to(b"another certificate"),
            WhichBinding::Absent => None,
        },
        issued,
        expires: if cell.time == WhichTime::Expired { NOW } else { NOW + Duration::hours(1) },
        decided_at: REVISION,
        content: content(cell.presented),
    }
}

fn revocations(cell: Cell) -> Revocations {
    let rule = |seq, ending: &str, effective| RevocationRule {
        seq,
        scope: RevocationScope {
            ending: ending.parse().unwrap(),
            kinds: BTreeSet::from(TokenKind::ALL),
            site: None,
            token: None,
        },
        effective,
        reason: "lost laptop".into(),
        forget_after: NOW + Duration::days(2),
    };
    Revocations::new(match cell.revocation {
        WhichRevocation::None => vec![],
        WhichRevocation::OtherUser => vec![rule(REVISION + 1, "CN=ben,OU=local", NOW)],
        WhichRevocation::Announced => vec![rule(REVISION + 1, "CN=ana,OU=local", NOW + Duration::minutes(5))],
        WhichRevocation::BeforeIssue => vec![rule(REVISION, "CN=ana,OU=local", NOW - Duration::minutes(5))],
        WhichRevocation::InEffect => vec![rule(REVISION + 1, "OU=local", NOW)],
    })
}

fn expected(kind: TokenKind) -> Expected {
    Expected {
        kind,
        issuer: COLLECTIVE,
        audience: audience(kind),
        presented_with: kind.is_bound().then(|| Thumbprint::of(b"certificate")),
    }
}

fn outcome(cell: Cell, keys: &Keys) -> &'static str {
    let text = keys.sign(cell, &token(cell));
    match verify(&text, &keys.set(), expected(cell.expected), &revocations(cell), NOW) {
        Ok(verified) => {
            assert_eq!(verified.token().content, content(cell.presented));
            "believed"
        }
        Err(error) => error.code(),
    }
}

#[test]
fn the_matrix() {
    use WhichAlgorithm::{EdDsa, Hs256, None as NoAlgorithm, Rs256};
    let keys = Keys::new();
    let (mut cells, mut believed, mut codes) = (0, 0, BTreeSet::new());
    for presented in TokenKind::ALL {
        for expected in TokenKind::ALL {
            for audience in [WhichAudience::Right, WhichAudience::OtherSite, WhichAudience::OtherRole] {
                for algorithm in [EdDsa, NoAlgorithm, Hs256, Rs256] {
                    for key in [WhichKey::Pinned, WhichKey::Unknown, WhichKey::Impostor] {
                        for (time, binding, revocation) in late_dimensions() {
                            let cell =
                                Cell { presented, expected, audience, algorithm, key, time, binding, revocation };
                            let got = outcome(cell, &keys);
                            assert_eq!(got, cell.wanted(), "{cell:?}");
                            cells += 1;
                            believed += usize::from(got == "believed");
                            codes.insert(got);
                        }
                    }
                }
            }
        }
    }
    assert_eq!(cells, 5 * 5 * 3 * 4 * 3 * 3 * 3 * 5);
    // Four revocations that do not bite, for each kind; the unbound kinds do not look at the binding.
    assert_eq!(believed, 3 * 4 + 2 * 4 * 3);
    assert_eq!(codes.len(), 11, "{codes:?}");
}

fn late_dimensions() -> Vec<(WhichTime, WhichBinding, WhichRevocation)> {
    use WhichRevocation::{Announced, BeforeIssue, InEffect, None as NoRevocation, OtherUser};
    let mut all = Vec::new();
    for time in [WhichTime::Valid, WhichTime::NotYet, WhichTime::Expired] {
        for binding in [WhichBinding::Right, WhichBinding::OtherKey, WhichBinding::Absent] {
            for revocation in [NoRevocation, OtherUser, Announced, BeforeIssue, InEffect] {
                all.push((time, binding, revocation));
            }
        }
    }
    all
}

#[test]
fn a_bound_token_needs_a_connection_with_a_certificate() {
    let keys = Keys::new();
    let text = keys.sign(Cell::RIGHT, &token(Cell::RIGHT));
    let anonymous = Expected { presented_with: None, ..expected(TokenKind::Claims) };
    assert_eq!(verify(&text, &keys.set(), anonymous, &Revocations::default(), NOW).unwrap_err(), TokenError::Binding);
}

#[test]
fn another_collective_is_refused() {
    let keys = Keys::new();
    let text = keys.sign(Cell::RIGHT, &token(Cell::RIGHT));
    let foreign = Expected { issuer: Uuid::from_u128(2), ..expected(TokenKind::Claims) };
    assert_eq!(verify(&text, &keys.set(), foreign, &Revocations::default(), NOW).unwrap_err().code(), "token.issuer");
}

#[test]
fn a_changed_body_is_refused() {
    let keys = Keys::new();
    let text = keys.sign(Cell::RIGHT, &token(Cell::RIGHT));
    let parts: Vec<&str> = text.split('.').collect();
    let mut body: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).unwrap()).unwrap();
    body["content"]["user"]["username"] = json!("root");
    let forged = format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(body.to_string()), parts[2]);
    let error = verify(&forged, &keys.set(), expected(TokenKind::Claims), &Revocations::default(), NOW).unwrap_err();
    assert_eq!(error.code(), "token.signature");
}

#[test]
fn nonsense_is_malformed() {
    let keys = Keys::new();
    let long = "x".repeat(MAX_TOKEN_BYTES + 1);
    for text in ["", ".", "..", "a.b.c", "e30.e30.e30", &long] {
        let error = verify(text, &keys.set(), expected(TokenKind::Claims), &Revocations::default(), NOW).unwrap_err();
        assert_eq!(error.code(), "token.malformed", "{text:.20}");
    }
}

#[test]
fn a_revocation_narrows_by_kind_site_and_token() {
    let token = token(Cell { presented: TokenKind::Entitlement, ..Cell::RIGHT });
    let scope = RevocationScope {
        ending: DnEnding::All,
        kinds: BTreeSet::from([TokenKind::Entitlement]),
        site: Some(site(5)),
        token: Some(token.id),
    };
    assert!(scope.covers(token.facts()));
    for other in [
        RevocationScope { kinds: BTreeSet::from([TokenKind::Claims]), ..scope.clone() },
        RevocationScope { site: Some(site(6)), ..scope.clone() },
        RevocationScope { token: Some(TokenId::new(Uuid::from_u128(5))), ..scope.clone() },
    ] {
        assert!(!other.covers(token.facts()), "{other:?}");
    }
}

#[test]
fn encrypted_claims_open_only_under_their_key_and_unchanged() {
    let (key, other) = (ClaimsKey::new(&[1; 32]).unwrap(), ClaimsKey::new(&[2; 32]).unwrap());
    let claims = Map::from_iter([("ssn".to_owned(), json!("123"))]);
    let sealed = key.seal(&claims, [3; 12]).unwrap();
    assert_eq!(key.open(&sealed), Ok(claims));
    assert_eq!(other.open(&sealed), Err(JweError));
    let changed = sealed.replace("..", "..A");
    assert_eq!(key.open(&changed), Err(JweError));
}
