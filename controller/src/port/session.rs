//! What clients ask for: signing in, countersigned device claims, authorization, renewal, signing out.
//!
//! Everything an answer hands out is durable before the answer leaves. A token is taken only on a connection with the
//! session's own certificate. Once a revocation covers the claims token, also one that takes effect later, nothing is
//! issued on it any more: the user signs in again, and flows live until the revocation takes effect (design 3.9).

mod code;
mod remedy;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc, time::Duration};

use engine::{
    claims,
    dn::{DistinguishedName, DnEnding},
    id::SessionId,
    revocation::RevocationScope,
    token::{Thumbprint, TokenError, TokenKind, UserContent, Verified},
};
use protocol::{
    message::{Authenticate, Authenticated, Authorized, DeviceScriptFile, Done, Refusal, Renewed, SignedToken},
    object::ObjectKind,
};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::sync::MutexGuard;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    audit::{self, Record},
    authority::AuthorityError,
    authorization::{Asking, authorize_client, hostname},
    config::Config,
    device_scripts,
    issue::{Binding, Subject, with_responses},
    refusal,
    sign_in::{self, Credentials, SignInKind, SignedIn},
    state::Controller,
    store::{DeviceRow, NewRevocation, Op, StoreError, TokenRow, Transaction},
};

pub(super) use remedy::{answer as answer_remedy, need as prepare_remedy};

/// A client as its connection proves it.
#[derive(Debug, Clone, Copy)]
pub(super) struct SessionPeer {
    /// The session its certificate names.
    pub(super) session: SessionId,
    /// The certificate.
    pub(super) certificate: Thumbprint,
    /// Where it connects from.
    pub(super) address: IpAddr,
}

/// Signs a user in on a device.
pub(super) async fn authenticate(
    c: &Controller,
    request: Authenticate,
    address: IpAddr,
) -> Result<Authenticated, Refusal> {
    let config = c.config.current();
    let Authenticate { provider, username, password, device, csr, hostname } = request;
    let credentials = Credentials {
        provider,
        username,
        password: Zeroizing::new(password),
        address: Some(address),
        kind: SignInKind::Client,
    };
    let signed_in = sign_in::verify_credentials(c, &credentials).await?;
    let now = c.now();
    let name = DistinguishedName { device, user: signed_in.user_name() };
    let hostname = hostname.map(|name| name.chars().take(MAX_HOSTNAME).collect::<String>());
    let device = DeviceRow {
        name: name.clone(),
        client: true,
        admin: false,
        hostname: hostname.clone(),
        on_boarded: now,
        last_seen: now,
    };
    let _turn = check_device_limit(c, &signed_in, &name, address).await?;
    let session = SessionId::new(Uuid::new_v4());
    let ends = sign_in_end(c, &config, now);
    let certificate = c.authority.session_certificate(&csr, session, now, ends).map_err(certificate_refusal)?;
    let content = c.issuer.user_content(&signed_in, &name, now).map_err(|error| refusal::unavailable(&error))?;
    let subject = Subject::new(&name, &config, now).on(hostname);
    let binding = Binding { session, certificate: certificate.thumbprint, ends };
    let user_claims = content.user.clone();
    let (token, row) = c.issuer.claims(&subject, binding, content).map_err(|error| refusal::unavailable(&error))?;
    let claims = signed(token, &row);
    let event = Record::new(audit::AUTHENTICATION_SUCCEEDED)
        .name(&name)
        .address(Some(address))
        .with("authentication_type", SignInKind::Client.as_str())
        .with("claims_token_id", row.id.to_string())
        .with("session_id", session.to_string())
        .with("user_claims", user_claims);
    commit(c, vec![Op::PutDevice(device), Op::InsertToken(row)], event).await?;
    Ok(Authenticated {
        session,
        certificate: certificate.text(),
        claims,
        sign_in_ends: ends.unix_timestamp(),
        message_of_the_day: setting(&config, "messageOfTheDay"),
        on_demand: device_scripts::list(&config, &signed_in.provider),
        name,
    })
}

/// Countersigns what a device reports of itself.
pub(super) async fn report_device(
    c: &Controller,
    peer: SessionPeer,
    token: &str,
    device: Map<String, Value>,
) -> Result<SignedToken, Refusal> {
    let asked = Asked::new(c, peer, token).await?;
    if !claims::within_bounds(&device) {
        return Err(refusal::refused(
            "device-claims.too-large",
            "the device reports more than is accepted; shorten the output of device scripts",
        ));
    }
    let subject = asked.subject().on(hostname(&device));
    let (token, row) =
        c.issuer.device_claims(&subject, asked.binding(c), device).map_err(|error| refusal::unavailable(&error))?;
    let answer = signed(token, &row);
    let event = asked.record(audit::DEVICE_CLAIMS_ISSUED).with("device_claims_token_id", row.id.to_string());
    commit(c, vec![Op::InsertToken(row)], event).await?;
    Ok(answer)
}

/// Hands out a device script that the provider of the user names.
pub(super) async fn download_device_script(
    c: &Controller,
    peer: SessionPeer,
    token: &str,
    sha256: &str,
) -> Result<DeviceScriptFile, Refusal> {
    let asked = Asked::new(c, peer, token).await?;
    let signed_in = asked.current_user()?;
    device_scripts::download(c, &asked.config, &signed_in.provider, sha256).await
}

/// Decides what the user may do.
pub(super) async fn authorize(
    c: &Controller,
    peer: SessionPeer,
    token: &str,
    device_token: Option<&str>,
) -> Result<Authorized, Refusal> {
    let asked = Asked::new(c, peer, token).await?;
    asked.current_user()?;
    let device = match device_token {
        None => Map::new(),
        Some(text) => {
            let verified = asked.verify(c, peer, text, TokenKind::DeviceClaims).await?;
            verified.device().cloned().unwrap_or_default()
        }
    };
    let user = c.issuer.user_claims(asked.user()?).map_err(|error| refusal::unavailable(&error))?;
    let asking = Asking {
        name: asked.name(),
        binding: asked.binding(c),
        user,
        device,
        responses: &asked.user()?.responses,
        address: peer.address,
        now: asked.now,
    };
    Ok(authorize_client(c, &asked.config, asking).await?)
}

/// Renews the claims token: the user is read again, the sign-in stays the same.
pub(super) async fn renew(c: &Controller, peer: SessionPeer, token: &str) -> Result<Renewed, Refusal> {
    let asked = Asked::new(c, peer, token).await?;
    let old = asked.user()?;
    asked.check_sign_in(c)?;
    let signed_in = asked.current_user()?;
    let content = c
        .issuer
        .user_content(&signed_in, asked.name(), old.authenticated)
        .map_err(|error| refusal::unavailable(&error))?;
    let content = with_responses(content, &old.responses);
    let (token, row) =
        c.issuer.claims(&asked.subject(), asked.binding(c), content).map_err(|error| refusal::unavailable(&error))?;
    let on_demand = device_scripts::list(&asked.config, &signed_in.provider);
    let answer = Renewed { claims: signed(token, &row), on_demand };
    let name = asked.name().clone();
    let device =
        DeviceRow { name, client: true, admin: false, hostname: None, on_boarded: asked.now, last_seen: asked.now };
    let event = asked.record(audit::TOKEN_RENEWED).with("claims_token_id", row.id.to_string());
    commit(c, vec![Op::PutDevice(device), Op::InsertToken(row)], event).await?;
    Ok(answer)
}

/// Ends the session: all its tokens are revoked at once.
pub(super) async fn sign_out(c: &Controller, peer: SessionPeer, token: &str) -> Result<Done, Refusal> {
    let asked = Asked::new(c, peer, token).await?;
    let kinds = BTreeSet::from([TokenKind::Claims, TokenKind::DeviceClaims, TokenKind::Entitlement]);
    let scope = RevocationScope { ending: DnEnding::Device(asked.name().clone()), kinds, site: None, token: None };
    let lives = asked.config.token_lifetimes();
    let longest = lives.claims.max(lives.entitlement).max(c.settings.sign_in_life.unsigned_abs());
    let revocation = NewRevocation {
        scope,
        effective: asked.now,
        reason: "signed out".to_owned(),
        forget_after: asked.now + longest,
    };
    let event = asked.record(audit::TOKEN_REVOKED).with("reason", "signed out");
    commit(c, vec![Op::Revoke(revocation)], event).await?;
    Ok(Done {})
}

/// A request with a believed claims token, and the configuration it was believed on.
struct Asked {
    config: Arc<Config>,
    now: OffsetDateTime,
    peer: SessionPeer,
    verified: Verified,
}

impl Asked {
    async fn new(c: &Controller, peer: SessionPeer, token: &str) -> Result<Self, Refusal> {
        let config = c.config.current();
        let now = c.now();
        let verified = believe(c, &config, now, peer, token, TokenKind::Claims).await?;
        Ok(Self { config, now, peer, verified })
    }

    /// Believes another token of the same session.
    async fn verify(
        &self,
        c: &Controller,
        peer: SessionPeer,
        token: &str,
        kind: TokenKind,
    ) -> Result<Verified, Refusal> {
        let verified = believe(c, &self.config, self.now, peer, token, kind).await?;
        if verified.token().name != *self.name() {
            return Err(refuse_token(c, peer, &TokenError::Binding).await);
        }
        Ok(verified)
    }

    fn name(&self) -> &DistinguishedName {
        &self.verified.token().name
    }

    fn user(&self) -> Result<&UserContent, Refusal> {
        self.verified.user().ok_or_else(|| refusal::token(&TokenError::Kind))
    }

    fn current_user(&self) -> Result<SignedIn, Refusal> {
        let signed_in = sign_in::look_up_again(&self.config, &self.name().user);
        signed_in.ok_or_else(|| {
            refusal::refused("sign-in.user-gone", "your account was disabled or removed; ask your administrator")
        })
    }

    /// No claims token is issued on a sign-in that is over.
    fn check_sign_in(&self, c: &Controller) -> Result<(), Refusal> {
        if self.now < self.sign_in_ends(c) {
            return Ok(());
        }
        Err(refusal::refused("sign-in.over", "your sign-in has reached its longest life; sign in again"))
    }

    fn subject(&self) -> Subject<'_> {
        Subject::new(self.name(), &self.config, self.now)
    }

    fn sign_in_ends(&self, c: &Controller) -> OffsetDateTime {
        let authenticated = self.verified.user().map_or(OffsetDateTime::UNIX_EPOCH, |user| user.authenticated);
        sign_in_end(c, &self.config, authenticated)
    }

    fn binding(&self, c: &Controller) -> Binding {
        Binding { session: self.peer.session, certificate: self.peer.certificate, ends: self.sign_in_ends(c) }
    }

    fn record(&self, event_type: &'static str) -> Record {
        Record::new(event_type)
            .name(self.name())
            .address(Some(self.peer.address))
            .with("session_id", self.peer.session.to_string())
    }
}

async fn believe(
    c: &Controller,
    config: &Config,
    now: OffsetDateTime,
    peer: SessionPeer,
    token: &str,
    kind: TokenKind,
) -> Result<Verified, Refusal> {
    let expected = c.issuer.expected_session(kind, peer.certificate);
    let verified = c.issuer.verify(token, expected, config, now);
    match verified.and_then(|verified| check_session(config, peer, verified)) {
        Ok(verified) => Ok(verified),
        Err(error) => Err(refuse_token(c, peer, &error).await),
    }
}

fn check_session(config: &Config, peer: SessionPeer, verified: Verified) -> Result<Verified, TokenError> {
    let token = verified.token();
    if token.binding.is_none_or(|(session, _)| session != peer.session) {
        return Err(TokenError::Binding);
    }
    match config.revocations.earliest(token.facts()) {
        Some(rule) => Err(TokenError::Revoked { seq: rule.seq, reason: rule.reason.clone() }),
        None => Ok(verified),
    }
}

/// Tells the audit log why, and the caller only that.
async fn refuse_token(c: &Controller, peer: SessionPeer, error: &TokenError) -> Refusal {
    let event = Record::new(audit::TOKEN_REFUSED)
        .address(Some(peer.address))
        .with("session_id", peer.session.to_string())
        .with("reason", error.code());
    match commit(c, Vec::new(), event).await {
        Ok(()) => refusal::token(error),
        Err(refused) => refused,
    }
}

/// Refuses one device too many. For a new device the answer is a turn, to be held until the device is registered, so that
/// many at once do not pass the limit together.
async fn check_device_limit<'a>(
    c: &'a Controller,
    signed_in: &SignedIn,
    name: &DistinguishedName,
    address: IpAddr,
) -> Result<Option<MutexGuard<'a, ()>>, Refusal> {
    let devices = || async { c.store.devices_of(&name.user).await.map_err(|error| refusal::unavailable(&error)) };
    if devices().await?.iter().any(|device| device.name == *name) {
        return Ok(None);
    }
    let turn = c.attempts.registering().await;
    let limit = usize::try_from(signed_in.provider.device_limit).unwrap_or(usize::MAX);
    if devices().await?.len() < limit {
        return Ok(Some(turn));
    }
    let event = Record::new(audit::AUTHENTICATION_FAILED)
        .name(name)
        .address(Some(address))
        .with("authentication_type", SignInKind::Client.as_str())
        .with("reason", "device-limit");
    commit(c, Vec::new(), event).await?;
    Err(refusal::refused(
        "sign-in.device-limit",
        "you have registered as many devices as you may; ask your administrator to remove one",
    ))
}

/// When a sign-in ends for good: after its longest life, which a longer life of claims tokens stretches and a shorter life
/// of session certificates cuts.
fn sign_in_end(c: &Controller, config: &Config, authenticated: OffsetDateTime) -> OffsetDateTime {
    let lives = config.token_lifetimes();
    authenticated + c.settings.sign_in_life.unsigned_abs().max(lives.claims).min(lives.certificate)
}

fn certificate_refusal(error: AuthorityError) -> Refusal {
    match error {
        AuthorityError::Request => refusal::refused(error.code(), error.to_string()),
        other => refusal::unavailable(&other),
    }
}

async fn commit(c: &Controller, ops: Vec<Op>, event: Record) -> Result<(), Refusal> {
    let transaction = Transaction { ops, audit: vec![event.event()] };
    c.store.transact(transaction).await.map(|_| ()).map_err(|error| store_refusal(&error))
}

fn store_refusal(error: &StoreError) -> Refusal {
    match error {
        StoreError::Busy | StoreError::Stale => {
            refusal::busy("the controller is busy; try again in a moment", Duration::from_secs(1))
        }
        error => refusal::unavailable(error),
    }
}

fn signed(token: String, row: &TokenRow) -> SignedToken {
    SignedToken { id: row.id, token, issued: row.issued.unix_timestamp(), expires: row.expires.unix_timestamp() }
}

/// A text of the global settings; nothing when it is empty.
pub(super) fn setting(config: &Config, member: &str) -> Option<String> {
    let settings = config.all(ObjectKind::GlobalSettings).next()?;
    settings.body.get(member)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Longest host name kept; DNS allows no longer one.
const MAX_HOSTNAME: usize = 253;
