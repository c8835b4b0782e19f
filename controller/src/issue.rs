//! Builds, signs and verifies tokens.
//!
//! Every token carries the sequence of the configuration its decision started from, so that a revocation that is
//! committed meanwhile kills it. For every token there is a row, and the caller stores the row before the token leaves.

use std::{collections::BTreeSet, time::Duration};

use engine::{
    dn::DistinguishedName,
    id::{AdministrativeRoleId, SessionId, TokenId},
    token::{
        self, Audience, Content, EntitlementContent, Expected, JweError, Response, Thumbprint, Token, TokenError,
        TokenKind, UserContent, Verified,
    },
};
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{config::Config, keys::TokenKeys, sign_in::SignedIn, store::TokenRow};

/// Errors from issuing a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The token could not be signed.
    #[error("a token could not be signed")]
    Sign(#[from] TokenError),
    /// The encrypted claims could not be sealed or opened.
    #[error("encrypted claims could not be sealed or opened")]
    Claims(#[from] JweError),
    /// The system gave no random bytes.
    #[error("no random bytes for encrypted claims")]
    Random,
}

impl IssueError {
    /// Stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Sign(_) => "issue.sign",
            Self::Claims(_) => "issue.claims",
            Self::Random => "issue.random",
        }
    }
}

/// For whom tokens are issued, and as of when the decision started.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    /// The session's name.
    pub name: &'a DistinguishedName,
    /// Host name the device reported.
    pub hostname: Option<String>,
    /// Sequence of the configuration the decision started from.
    pub decided_at: u64,
    /// When.
    pub now: OffsetDateTime,
    /// Life of claims and device-claims tokens.
    pub claims_life: Duration,
    /// Life of entitlement tokens.
    pub entitlement_life: Duration,
    /// Life of administration tokens.
    pub administration_life: Duration,
}

impl<'a> Subject<'a> {
    /// Takes sequence and token lives from the configuration the decision starts from.
    pub fn new(name: &'a DistinguishedName, config: &Config, now: OffsetDateTime) -> Self {
        let lives = config.token_lifetimes();
        Self {
            name,
            hostname: None,
            decided_at: config.seq,
            now,
            claims_life: lives.claims,
            entitlement_life: lives.entitlement,
            administration_life: lives.administration,
        }
    }

    /// With the host name of the device.
    #[must_use]
    pub fn on(mut self, hostname: Option<String>) -> Self {
        self.hostname = hostname;
        self
    }
}

/// The session a token is bound to: its certificate, and when the certificate ends.
#[derive(Debug, Clone, Copy)]
pub struct Binding {
    /// The session.
    pub session: SessionId,
    /// Its certificate.
    pub certificate: Thumbprint,
    /// No token of the session outlives this.
    pub ends: OffsetDateTime,
}

/// Issues and verifies tokens of all five kinds. Has no `Debug`.
pub struct Issuer {
    collective: Uuid,
    keys: TokenKeys,
    random: SystemRandom,
}

impl Issuer {
    /// Issues for a collective with its keys.
    pub fn new(collective: Uuid, keys: TokenKeys) -> Self {
        Self { collective, keys, random: SystemRandom::new() }
    }

    /// The collective.
    pub fn collective(&self) -> Uuid {
        self.collective
    }

    /// The keys, for gateways.
    pub fn keys(&self) -> &TokenKeys {
        &self.keys
    }

    /// The content of a claims or admin-claims token for somebody who just signed in, or whose claims were read again.
    ///
    /// # Errors
    /// When claims marked `encrypt` cannot be sealed.
    pub fn user_content(
        &self,
        signed_in: &SignedIn,
        name: &DistinguishedName,
        authenticated: OffsetDateTime,
    ) -> Result<UserContent, IssueError> {
        let sealed: BTreeSet<&str> = signed_in
            .provider
            .claim_mappings
            .iter()
            .filter(|mapping| mapping.encrypt)
            .map(|mapping| mapping.claim.as_str())
            .collect();
        let claims = signed_in.claims_for(name);
        let (secret, user): (Map<_, _>, Map<_, _>) =
            claims.into_iter().partition(|(claim, _)| sealed.contains(claim.as_str()));
        let encrypted = if secret.is_empty() { None } else { Some(self.seal(&secret)?) };
        Ok(UserContent { provider: signed_in.provider.id, authenticated, user, encrypted, responses: Vec::new() })
    }

    /// All user claims of a token, the encrypted ones included.
    ///
    /// # Errors
    /// When the encrypted claims do not open.
    pub fn user_claims(&self, content: &UserContent) -> Result<Map<String, Value>, IssueError> {
        let mut claims = content.user.clone();
        if let Some(sealed) = &content.encrypted {
            claims.extend(self.keys.claims().open(sealed)?);
        }
        Ok(claims)
    }

    /// A claims token.
    ///
    /// # Errors
    /// When it cannot be signed; so for all kinds.
    pub fn claims(
        &self,
        subject: &Subject<'_>,
        binding: Binding,
        content: UserContent,
    ) -> Result<(String, TokenRow), IssueError> {
        let audience = Audience::Collective(self.collective);
        self.issue(subject, audience, Some(binding), subject.claims_life, Content::Claims(content))
    }

    /// A device-claims token.
    ///
    /// # Errors
    /// As [`Self::claims`].
    pub fn device_claims(
        &self,
        subject: &Subject<'_>,
        binding: Binding,
        device: Map<String, Value>,
    ) -> Result<(String, TokenRow), IssueError> {
        let audience = Audience::Collective(self.collective);
        self.issue(subject, audience, Some(binding), subject.claims_life, Content::DeviceClaims { device })
    }

    /// An entitlement token for one Site.
    ///
    /// # Errors
    /// As [`Self::claims`].
    pub fn entitlement(
        &self,
        subject: &Subject<'_>,
        binding: Binding,
        content: EntitlementContent,
    ) -> Result<(String, TokenRow), IssueError> {
        let audience = Audience::Site(content.site);
        self.issue(subject, audience, Some(binding), subject.entitlement_life, Content::Entitlement(content))
    }

    /// An admin-claims token: authenticated, not authorized yet.
    ///
    /// # Errors
    /// As [`Self::claims`].
    pub fn admin_claims(&self, subject: &Subject<'_>, content: UserContent) -> Result<(String, TokenRow), IssueError> {
        let audience = Audience::Controller(self.collective);
        let life = subject.administration_life.min(ADMIN_CLAIMS_LIFE);
        self.issue(subject, audience, None, life, Content::AdminClaims(content))
    }

    /// An administration token: the bearer token of the admin API.
    ///
    /// # Errors
    /// As [`Self::claims`].
    pub fn admin(
        &self,
        subject: &Subject<'_>,
        roles: &BTreeSet<AdministrativeRoleId>,
    ) -> Result<(String, TokenRow), IssueError> {
        let audience = Audience::Controller(self.collective);
        let content = Content::Administration { roles: roles.iter().copied().collect() };
        self.issue(subject, audience, None, subject.administration_life, content)
    }

    /// What a bearer token of the admin API must be.
    pub fn expected_admin(&self, kind: TokenKind) -> Expected {
        Expected {
            kind,
            issuer: self.collective,
            audience: Audience::Controller(self.collective),
            presented_with: None,
        }
    }

    /// What a token on a session's connection must be.
    pub fn expected_session(&self, kind: TokenKind, certificate: Thumbprint) -> Expected {
        Expected {
            kind,
            issuer: self.collective,
            audience: Audience::Collective(self.collective),
            presented_with: Some(certificate),
        }
    }

    /// Decides whether a token is believed.
    ///
    /// # Errors
    /// The first reason not to.
    pub fn verify(
        &self,
        text: &str,
        expected: Expected,
        config: &Config,
        now: OffsetDateTime,
    ) -> Result<Verified, TokenError> {
        token::verify(text, self.keys.verifying(), expected, &config.revocations, now)
    }

    fn issue(
        &self,
        subject: &Subject<'_>,
        audience: Audience,
        binding: Option<Binding>,
        life: Duration,
        content: Content,
    ) -> Result<(String, TokenRow), IssueError> {
        let ends = binding.map_or(subject.now + life, |binding| binding.ends.min(subject.now + life));
        let token = Token {
            id: TokenId::new(Uuid::new_v4()),
            issuer: self.collective,
            name: subject.name.clone(),
            audience,
            binding: binding.map(|binding| (binding.session, binding.certificate)),
            issued: whole_seconds(subject.now),
            expires: whole_seconds(ends),
            decided_at: subject.decided_at,
            content,
        };
        let facts = token.facts();
        let row = TokenRow {
            id: token.id,
            kind: facts.kind,
            name: token.name.clone(),
            session: token.binding.map(|(session, _)| session),
            site: facts.site,
            issued: token.issued,
            expires: token.expires,
            revoked_at: None,
            decided_at: token.decided_at,
            hostname: subject.hostname.clone(),
        };
        Ok((token.sign(self.keys.signing())?, row))
    }

    fn seal(&self, claims: &Map<String, Value>) -> Result<String, IssueError> {
        let mut nonce = [0; 12];
        self.random.fill(&mut nonce).map_err(|_| IssueError::Random)?;
        Ok(self.keys.claims().seal(claims, nonce)?)
    }
}

/// Keeps the remedies a user answered when the claims are read again.
pub(crate) fn with_responses(mut content: UserContent, responses: &[Response]) -> UserContent {
    content.responses = responses.to_vec();
    content
}

/// Tokens count in whole seconds; a row that said more would differ from its token.
fn whole_seconds(moment: OffsetDateTime) -> OffsetDateTime {
    moment.replace_nanosecond(0).unwrap_or(moment)
}

/// Time for the second step of an admin sign-in.
const ADMIN_CLAIMS_LIFE: Duration = Duration::from_secs(15 * 60);
