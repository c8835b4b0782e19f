//! Believing a client: its three tokens, held against the certificate of its connection, before anything is done for it.

use std::{collections::BTreeSet, sync::Arc};

use engine::{
    dn::DistinguishedName,
    id::{EntitlementId, SessionId, TokenId},
    session::EndReason,
    token::{Audience, Expected, Thumbprint, TokenError, TokenKind, UserContent, Verified, verify},
};
use protocol::{
    carrier::SharedCarrier,
    message::{ControlDown, Present, Refusal},
};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use tokio::{sync::mpsc, time::timeout};

use crate::{
    audit::{Daemon, Event, Weight, name_members},
    config::Config,
    gateway::Gateway,
    session::{Beginning, LiveSession},
};

/// Tokens that were believed together: of one session, one name and one certificate.
pub(crate) struct Tokens {
    claims: Verified,
    device: Option<Verified>,
    entitlement: Verified,
}

/// Why a client is not admitted. The user is told no more than `refusal` says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdmissionError {
    #[error("{kind:?} token is not believed")]
    Token {
        kind: TokenKind,
        #[source]
        source: TokenError,
        name: Option<Box<DistinguishedName>>,
    },
    #[error("the tokens belong to different sessions")]
    Mismatch(Box<DistinguishedName>),
    #[error("the tokens were decided by a newer configuration")]
    ConfigBehind(Box<DistinguishedName>),
    #[error("there is no configuration yet")]
    NoConfig,
    #[error("no controller was heard for longer than the Site allows")]
    NoController,
    #[error("the gateway serves as many sessions as it can")]
    Full,
}

impl AdmissionError {
    /// Stable code, for the log.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Token { source, .. } => source.code(),
            Self::Mismatch(_) => "token.mismatch",
            Self::ConfigBehind(_) => "config.behind",
            Self::NoConfig => "config.none",
            Self::NoController => "gateway.no-controller",
            Self::Full => "gateway.full",
        }
    }

    /// What the client is told: never which part of a token failed.
    pub(crate) fn refusal(&self) -> Refusal {
        let (code, message, retry_after_secs) = match self {
            Self::Token { .. } | Self::Mismatch(_) => (
                "token.refused",
                "the gateway does not accept these tokens any more; the client asks for new ones",
                None,
            ),
            Self::ConfigBehind(_) | Self::NoConfig => {
                (self.code(), "the gateway is still catching up with its configuration; try again in a moment", Some(1))
            }
            Self::NoController => {
                (self.code(), "the gateway has lost its controller and takes nobody in until it is back", Some(5))
            }
            Self::Full => (self.code(), "the gateway is full; try again later", Some(10)),
        };
        Refusal { code: code.to_owned(), message: message.to_owned(), retry_after_secs }
    }

    /// Whether the tokens are at fault, so that the same ones will not do later either.
    pub(crate) fn is_of_tokens(&self) -> bool {
        match self {
            Self::Token { .. } | Self::Mismatch(_) => true,
            Self::ConfigBehind(_) | Self::NoConfig | Self::NoController | Self::Full => false,
        }
    }

    fn name(&self) -> Option<&DistinguishedName> {
        match self {
            Self::Token { name, .. } => name.as_deref(),
            Self::Mismatch(name) | Self::ConfigBehind(name) => Some(name),
            Self::NoConfig | Self::NoController | Self::Full => None,
        }
    }
}

/// A connection whose certificate names a session.
#[derive(Clone)]
pub(crate) struct Applicant {
    pub(crate) session: SessionId,
    pub(crate) certificate: Thumbprint,
    pub(crate) carrier: SharedCarrier,
}

/// A session that was taken in; dropping this ends it, however the connection came to its end.
pub(crate) struct Admitted {
    pub(crate) session: Arc<LiveSession>,
    gateway: Arc<Gateway>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.session.end(EndReason::Disconnected);
        self.gateway.registry.remove(&self.session);
    }
}

impl Tokens {
    pub(crate) fn name(&self) -> &DistinguishedName {
        &self.claims.token().name
    }

    /// Claims, device claims if there are, entitlement.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Verified> {
        [Some(&self.claims), self.device.as_ref(), Some(&self.entitlement)].into_iter().flatten()
    }

    /// When the first of them expires.
    pub(crate) fn expires(&self) -> OffsetDateTime {
        let expires = self.all().map(|token| token.token().expires);
        expires.min().unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }

    pub(crate) fn entitlement_expires(&self) -> OffsetDateTime {
        self.entitlement.token().expires
    }

    pub(crate) fn entitlement_id(&self) -> TokenId {
        self.entitlement.token().id
    }

    pub(crate) fn user(&self) -> Option<&UserContent> {
        self.claims.user()
    }

    pub(crate) fn device_claims(&self) -> Map<String, Value> {
        self.device.as_ref().and_then(Verified::device).cloned().unwrap_or_default()
    }

    /// What user-claim scripts answered when the access was granted; nothing when there was nothing.
    pub(crate) fn scripted(&self) -> Option<&Map<String, Value>> {
        self.entitlement.entitlement().map(|content| &content.scripted).filter(|scripted| !scripted.is_empty())
    }

    /// Names of the policies that granted an entitlement.
    pub(crate) fn policies_of(&self, entitlement: EntitlementId) -> Vec<String> {
        let grants = self.entitlement.entitlement().map(|content| content.grants.as_slice()).unwrap_or_default();
        let granted = grants.iter().find(|grant| grant.entitlement == entitlement);
        granted.map(|grant| grant.policies.clone()).unwrap_or_default()
    }

    /// The entitlements granted, configured or not.
    pub(crate) fn granted(&self) -> BTreeSet<EntitlementId> {
        let grants = self.entitlement.entitlement().map(|content| content.grants.as_slice()).unwrap_or_default();
        grants.iter().map(|grant| grant.entitlement).collect()
    }
}

impl Gateway {
    /// Takes in a client: believes its tokens, makes its session, builds its rules.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        applicant: Applicant,
        present: &Present,
        control: mpsc::Sender<ControlDown>,
    ) -> Result<Admitted, AdmissionError> {
        let believed = self.believe(&applicant, present, &BTreeSet::new()).await;
        let tokens = believed.inspect_err(|error| self.note_refused(&applicant, error))?;
        let id = applicant.session;
        let session =
            LiveSession::new(self.clone(), Beginning { id, tokens, carrier: applicant.carrier.clone(), control });
        let replaced = self.registry.insert(session.clone()).map_err(|_| AdmissionError::Full);
        let replaced = replaced.inspect_err(|error| self.note_refused(&applicant, error))?;
        let admitted = Admitted { session: session.clone(), gateway: self.clone() };
        if let Some(older) = replaced {
            older.end(EndReason::Replaced);
        }
        session.note(Daemon::Session, "session_created", Weight::Event, Map::new());
        // INVARIANT: rules are added before sessions are looked through. A rule that was added before this session could
        // be found is found here.
        session.check_revocations();
        session.instantiate();
        session.settled().await;
        Ok(admitted)
    }

    /// Believes the tokens a client shows, at first or renewed. Those that were `held` before are recorded already.
    pub(crate) async fn believe(
        &self,
        applicant: &Applicant,
        present: &Present,
        held: &BTreeSet<TokenId>,
    ) -> Result<Tokens, AdmissionError> {
        let config = self.config_in_force().await?;
        let site = config.definitions.site().ok_or(AdmissionError::NoConfig)?;
        if !self.contact.may_admit(site, self.clock.now()) {
            return Err(AdmissionError::NoController);
        }
        let (tokens, wanted) = self.verify_all(&config, applicant, present)?;
        self.wait_for(wanted).await.map_err(|()| AdmissionError::ConfigBehind(Box::new(tokens.name().clone())))?;
        for token in tokens.all().filter(|token| !held.contains(&token.token().id)) {
            self.note_accepted(applicant, token);
        }
        Ok(tokens)
    }

    /// Records that a client's tokens were refused, with the precise reason.
    pub(crate) fn note_refused(&self, applicant: &Applicant, error: &AdmissionError) {
        let mut members = self.applicant_members(applicant);
        members.insert("reason".to_owned(), error.code().into());
        if let AdmissionError::Token { kind, .. } = error {
            members.insert("token_type".to_owned(), kind.api_name().into());
        }
        if let Some(name) = error.name() {
            members.extend(name_members(name));
        }
        self.record(Daemon::Session, "entitlement_token_not_accepted", members);
    }

    fn verify_all(
        &self,
        config: &Config,
        applicant: &Applicant,
        present: &Present,
    ) -> Result<(Tokens, u64), AdmissionError> {
        let collective = Audience::Collective(config.collective);
        let check = |text: &str, kind, audience, name: Option<&DistinguishedName>| {
            let name = || name.cloned().map(Box::new);
            self.verify_one(config, applicant, text, kind, audience).map_err(|source| AdmissionError::Token {
                kind,
                source,
                name: name(),
            })
        };
        let claims = check(&present.claims, TokenKind::Claims, collective, None)?;
        let name = claims.token().name.clone();
        let device = present.device_claims.as_deref();
        let device = device.map(|text| check(text, TokenKind::DeviceClaims, collective, Some(&name))).transpose()?;
        let entitlement =
            check(&present.entitlement, TokenKind::Entitlement, Audience::Site(config.site), Some(&name))?;
        let wanted = entitlement.entitlement().map_or(0, |content| content.config);
        let tokens = Tokens { claims, device, entitlement };
        let fits = |token: &Verified| {
            let session = token.token().binding.map(|(session, _)| session);
            token.token().name == name && session == Some(applicant.session)
        };
        let site = tokens.entitlement.entitlement().map(|content| content.site);
        if !tokens.all().all(fits) || site != Some(config.site) {
            return Err(AdmissionError::Mismatch(Box::new(name)));
        }
        Ok((tokens, wanted))
    }

    /// The engine verifies; rules are looked up beside it, so that adding one never waits for a signature.
    fn verify_one(
        &self,
        config: &Config,
        applicant: &Applicant,
        text: &str,
        kind: TokenKind,
        audience: Audience,
    ) -> Result<Verified, TokenError> {
        let expected =
            Expected { kind, issuer: config.collective, audience, presented_with: Some(applicant.certificate) };
        let now = self.clock.wall();
        let token = verify(text, &config.keys, expected, &Default::default(), now)?;
        self.config.check_revoked(&token, now)?;
        Ok(token)
    }

    async fn config_in_force(&self) -> Result<Arc<Config>, AdmissionError> {
        self.wait_for(0).await.map_err(|()| AdmissionError::NoConfig)?;
        self.config.current().ok_or(AdmissionError::NoConfig)
    }

    /// Waits a while until a number is applied.
    async fn wait_for(&self, seq: u64) -> Result<(), ()> {
        let mut applied = self.config.applied();
        let waiting = applied.wait_for(|applied| applied.is_some_and(|applied| applied >= seq));
        match timeout(self.limits.config_wait, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(()),
        }
    }

    fn note_accepted(&self, applicant: &Applicant, token: &Verified) {
        let event_type = match token.token().content.kind() {
            TokenKind::Claims => "claims_token_accepted",
            TokenKind::DeviceClaims => "device_claims_accepted",
            TokenKind::Entitlement => "entitlement_token_accepted",
            TokenKind::AdminClaims | TokenKind::Administration => return,
        };
        let mut members = self.applicant_members(applicant);
        members.extend(name_members(&token.token().name));
        members.insert("token_id".to_owned(), token.token().id.to_string().into());
        self.record(Daemon::Session, event_type, members);
    }

    fn applicant_members(&self, applicant: &Applicant) -> Map<String, Value> {
        let source = applicant.carrier.remote_address().ip().to_canonical();
        let members = [("session_id", applicant.session.to_string()), ("client_ip", source.to_string())];
        members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
    }

    fn record(&self, daemon: Daemon, event_type: &'static str, members: Map<String, Value>) {
        self.audit.record(Event { daemon, event_type, weight: Weight::Event, members, at: self.clock.wall() });
    }
}
